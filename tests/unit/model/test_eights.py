"""Numbers of 8 bits: what is compiled for this CPU computes what torch's operations do."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor

from revoice.model import eights
from revoice.model.checkpoint import load_model
from revoice.model.eights import product, rounded
from revoice.model.rows import Rows
from revoice.model.stepping import Slots, ready
from revoice.model.valle import AR, BOS, NAR, ModelConfig
from tests.unit.model.test_generate import made
from tests.unit.model.test_stepping import BASE

compiled = pytest.mark.skipif(not eights.kernels(), reason="there are no kernels for this CPU")


@pytest.fixture
def models() -> tuple[AR, NAR]:
    return made(ModelConfig("valle", 64, 3, 4, text_symbols=20))


def by_torch(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(eights, "kernels", lambda: None)


def stepped(ar: AR, codes: list[int]) -> Tensor:
    """Hidden states (L, width) after each of some codes, which a text and BOS come before."""
    slots = Slots.of(ar, 1, 6 + len(codes))
    text = torch.arange(1, 6)[None]
    rows = Rows(torch.tensor([5]), torch.tensor([1]), causal=True)
    found = []
    with torch.inference_mode():
        embedded = ar.ar_text_embedding(text), ar.ar_audio_embedding(torch.tensor([[BOS]]))
        slots.prefix(ar, rows.pack(*embedded), rows, torch.tensor([0]))
        for code in codes:
            x = ar.ar_audio_embedding(torch.tensor([code]))
            found.append(slots.step(ar, x))
    return torch.cat(found)


@compiled
@pytest.mark.parametrize("shape", [(1, 64), (5, 192), (40, 1000)])
def test_rounding_is_torchs(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    x = torch.randn(shape)
    x[0, :4] = torch.tensor([127.0, 0.5, 1.5, -2.5])  # halves go to even numbers
    x[-1] = x[-1] * (shape[0] == 1)
    whole, scales = rounded(x)
    by_torch(monkeypatch)
    expected, of_rows = rounded(x)
    assert torch.equal(whole, expected)
    assert torch.equal(scales, of_rows)


@compiled
@pytest.mark.parametrize("relu", [False, True])
def test_products_are_torchs(relu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    weight, scales = rounded(torch.randn(48, 64))
    given = (torch.randn(7, 64), weight, scales.squeeze(1), torch.randn(48), relu)
    found = product(*given)
    assert (found.min() == 0) == relu
    by_torch(monkeypatch)
    assert torch.equal(found, product(*given))


@compiled
def test_a_position_passes_all_layers(
    models: tuple[AR, NAR], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by one, each after its past, as torch's operations compute it."""
    once = deepcopy(models)
    ready(*models, "int8")
    assert models[0].ar_decoder.stack is not None
    assert models[1].nar_decoder.stack is None, "its norms depend on the stage"
    codes = torch.randint(0, 1024, (50,), generator=torch.Generator().manual_seed(1)).tolist()
    found = stepped(models[0], codes)
    by_torch(monkeypatch)
    ready(*once, "int8")
    assert once[0].ar_decoder.stack is None
    expected = stepped(once[0], codes)
    # what lies between two whole numbers may fall to either, after sums in another order
    assert float((found - expected).abs().median()) < 1e-5
    assert float((found - expected).std() / expected.std()) < 0.01


@compiled
def test_threads_do_not_change_it(models: tuple[AR, NAR]) -> None:
    ready(*models, "int8")
    found = []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(stepped(models[0], list(range(20))))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@compiled
def test_the_base_voice_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """At least 97 of 100 likeliest codes, each after the same ones."""
    ar, nar, _ = load_model(BASE / "model")
    once = deepcopy((ar, nar))
    codes = torch.randint(0, 1024, (150,), generator=torch.Generator().manual_seed(1)).tolist()
    ready(ar, nar, "int8")
    said = ar.ar_predict_layer(stepped(ar, codes)).argmax(-1)
    assert ar.ar_decoder.stack is not None
    by_torch(monkeypatch)
    ready(*once, "int8")
    other = once[0].ar_predict_layer(stepped(once[0], codes)).argmax(-1)
    assert float((said == other).float().mean()) >= 0.97
