"""Decoders that speak: their weights, and the slots of what is spoken."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from revoice.model import stepping
from revoice.model.checkpoint import load_model
from revoice.model.drawing import Sampling
from revoice.model.generate import Request, _nar_batches, synthesize
from revoice.model.stepping import FastDecoder, Product, Slots, ready, rounded
from revoice.model.valle import AR, NAR, Decoder
from revoice.text import load_tokenizer
from tests.unit.model.test_generate import CONFIG, REQUESTS, SHORT, likely_eos, made, request, same

SENTENCES = ["They called for artillery support.", "All of our lines are busy at the moment."]
BASE = Path(__file__).parents[3] / "resources/base"


@pytest.fixture
def models() -> tuple[AR, NAR]:
    return made(CONFIG)


def test_fp32_says_the_same(models: tuple[AR, NAR]) -> None:
    expected = synthesize(*models, REQUESTS, SHORT)
    ready(*models, "fp32")
    assert isinstance(models[0].ar_decoder, FastDecoder)
    assert isinstance(models[1].nar_decoder, FastDecoder)
    assert same(synthesize(*models, REQUESTS, SHORT), expected)


@pytest.mark.parametrize("weights", ["int8", "bf16"])
def test_other_weights_say_about_the_same(models: tuple[AR, NAR], weights: str) -> None:
    found = []
    for weight in ("fp32", weights):
        ar, nar = deepcopy(models)
        ready(ar, nar, weight)
        codes = torch.from_numpy(np.random.default_rng(1).integers(0, 1024, (2, 30, 8)))
        text, lens = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([3, 2])
        given = (text, lens, codes, torch.tensor([30, 20]))
        languages = torch.zeros_like(text)
        with torch.inference_mode():
            logits = [ar(*given, languages), nar(*given, 3, 5, languages)]
        found.append([logits[0][:, :20], logits[1][:, :20]])
    for exact, other in zip(*found, strict=True):
        assert not torch.equal(exact, other)
        assert float((exact - other).std() / exact.std()) < 0.05


@pytest.mark.parametrize("weights", ["int8", "bf16"])
def test_the_base_voice_predicts_the_same_first_codes(weights: str) -> None:
    """At least 97 of 100 under teacher forcing, of what it has said itself."""
    ar, nar, _ = load_model(BASE / "model")
    ar, nar, tokenizer = ar.eval(), nar.eval(), load_tokenizer(BASE / "tokenizer.json")
    tokens = [tokenizer(text, "en") for text in SENTENCES]
    requests = [Request(each.ids, each.languages) for each in tokens]
    spoken = synthesize(ar, nar, requests, Sampling(top_k=20, temperature=0.4))
    exact = deepcopy(ar)
    ready(ar, nar, weights)
    equal = total = 0
    for asked, said in zip(requests, spoken, strict=True):
        codes = torch.from_numpy(said.codes.astype(np.int64))[None]
        text, lens = torch.tensor([asked.ids]), torch.tensor([len(asked.ids)])
        given = (text, lens, codes, torch.tensor([codes.shape[1]]))
        with torch.inference_mode():
            one, other = exact(*given), ar(*given)
        equal += int((one.argmax(-1) == other.argmax(-1)).sum())
        total += one.shape[1]
    assert total > 100
    assert equal / total >= 0.97


def test_auto_rounds_large_decoders_alone(
    models: tuple[AR, NAR], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = deepcopy(models)
    ready(*small, "auto")
    assert small[0].ar_decoder.products[0][0].weights == "fp32"
    monkeypatch.setattr(stepping, "LARGE", 12 * 32 * 32 * 2)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    old = deepcopy(models)
    ready(*old, "auto")
    assert old[0].ar_decoder.products[0][0].weights in ("bf16", "fp32")
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True)
    ready(*models, "auto")
    assert models[0].ar_decoder.products[0][0].weights == "int8"
    assert models[0].ar_decoder.products[0][0].weight.dtype == torch.int8


@pytest.mark.parametrize("rows", [1, 3, 40])
def test_products(rows: int) -> None:
    torch.manual_seed(1)
    weight, bias, x = torch.randn(48, 64), torch.randn(48), torch.randn(rows, 64)
    x[0] = 0.0
    exact = x @ weight.T + bias
    for weights, error in (("fp32", 1e-5), ("bf16", 0.3), ("int8", 0.3)):
        y = Product(weight, bias, weights)(x)
        assert y.dtype == torch.float32
        assert torch.allclose(y, exact, atol=error)


def test_rounding() -> None:
    x = torch.tensor([[0.0, 0.0], [1.0, -2.0], [1e-3, 2e-3]])
    whole, scales = rounded(x)
    assert whole.tolist() == [[0, 0], [64, -127], [64, 127]]
    assert torch.allclose(whole * scales, x, atol=1e-2)


def test_who_ends_makes_room(models: tuple[AR, NAR], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two slots for one long and six short utterances: nobody waits for the long one."""
    steps: list[int] = []
    step = Slots.step

    def counted(slots: Slots, ar: AR, x: Tensor) -> Tensor:
        steps.append(len(x))
        return step(slots, ar, x)

    monkeypatch.setattr(Slots, "step", counted)
    ar = likely_eos(models[0], -100.0)
    requests = [request(1, i) for i in range(6)]  # 16 frames each
    requests.insert(3, request(6, 9))  # 96
    found = synthesize(ar, models[1], requests, Sampling(top_k=1), batch_size=2)
    assert [len(one.codes) for one in found] == [16, 16, 16, 96, 16, 16, 16]
    assert len(steps) <= 100
    assert steps[-1] <= 2
    assert sum(steps) >= 186, "every frame but the last of each has been heard"


def test_what_was_in_memory_before_is_not_heard(
    models: tuple[AR, NAR], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = synthesize(*models, REQUESTS, SHORT)
    moved = Slots.moved

    def dirty(*given: Any) -> Slots:
        slots = moved(*given)
        slots.values[:, :, :, :, slots.opened :] = torch.nan
        return slots

    monkeypatch.setattr(Slots, "moved", dirty)
    assert same(synthesize(*models, REQUESTS, SHORT), expected)
    assert same(synthesize(*models, REQUESTS, SHORT, batch_size=2), expected)


def test_idle_slots_are_given_up(models: tuple[AR, NAR], monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    step = Slots.step
    monkeypatch.setattr(Slots, "step", lambda *a: (steps.append(len(a[2])), step(*a))[1])
    ar = likely_eos(models[0], -100.0)
    requests = [request(1, i) for i in range(7)] + [request(6, 9)]
    synthesize(ar, models[1], requests, Sampling(top_k=1), batch_size=8)
    assert steps[0] == 8
    assert steps[-1] == 1


def test_the_nar_takes_what_a_cache_holds() -> None:
    frames = [300, 300, 300, 300, 1001, 10]
    assert _nar_batches(range(6), frames, 8, 1000) == [[0, 1, 2], [3], [4], [5]]
    assert _nar_batches(range(6), [10] * 6, 4, 1000) == [[0, 1, 2, 3], [4, 5]]
    assert _nar_batches([], [], 4, 1000) == []


def test_a_fast_decoder_is_one(models: tuple[AR, NAR]) -> None:
    decoder = models[1].nar_decoder
    assert isinstance(decoder, Decoder)
    fast = FastDecoder(list(decoder.layers), decoder.norm, "fp32", torch.float32)
    x, stage = torch.randn(5, 32), torch.randn(32)

    def attend(qkv: Tensor, layer: int, dropout: float) -> Tensor:
        return qkv[:, 2] * (layer + 1)

    with torch.inference_mode():
        assert torch.equal(fast(x, attend, stage), decoder.eval()(x, attend, stage))
