"""Layers that are compiled, around their attention."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch._dynamo.testing import CompileCounterWithBackend

from revoice.config_training import LoraConfig, TrainConfig
from revoice.model.finetune import add_lora, merge_lora
from revoice.model.valle import AR, NAR, ModelConfig
from revoice.training import compiling, setup
from revoice.training.compiling import compile_layers, gains
from revoice.training.data import Batch
from revoice.training.job import Job
from revoice.training.objective import batch_loss
from revoice.training.train import train
from tests.helpers.synthetic import MODEL

LORA = LoraConfig(rank=2, targets=["*_decoder.layers.*.self_attn.in_proj_weight"])


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def batch_of(utterances: int) -> Batch:
    torch.manual_seed(utterances)
    lens, code_lens = (torch.randint(*between, (utterances,)) for between in ((3, 9), (20, 40)))
    text = torch.randint(1, 20, (utterances, int(lens.max())))
    codes = torch.randint(0, 1024, (utterances, int(code_lens.max()), 8))
    return Batch(text, lens, codes, code_lens)


def gradients(model: AR | NAR, batch: Batch) -> list[torch.Tensor | None]:
    """Of the loss, which comes first."""
    torch.manual_seed(1)
    loss, _ = batch_loss("ar" if isinstance(model, AR) else "nar", model, batch, 3, 0.25)
    trained = [p for p in model.parameters() if p.requires_grad]
    return [loss, *torch.autograd.grad(loss, trained, allow_unused=True)]


def model_of(kind: type[AR] | type[NAR], adapted: bool) -> AR | NAR:
    torch.manual_seed(1)
    model = kind(ModelConfig(**MODEL))
    if adapted:
        add_lora(model, LORA)
        model.gradient_checkpointing = True
    return model


@pytest.mark.parametrize(
    ("kind", "backend", "adapted"), [(AR, "aot_eager", False), (NAR, "eager", True)]
)
def test_a_compiled_model_learns_the_same(
    kind: type[AR] | type[NAR], backend: str, adapted: bool
) -> None:
    """With gradient checkpointing and adapters as well; other sizes compile nothing again."""
    plain, model = (model_of(kind, adapted) for _ in range(2))
    counter = CompileCounterWithBackend(backend)
    compile_layers(model, backend=counter)
    assert list(model.state_dict()) == list(plain.state_dict())
    frames = []
    for utterances in (4, 2, 3):
        batch = batch_of(utterances)
        for one, other in zip(gradients(model, batch), gradients(plain, batch), strict=True):
            assert (one is None) == (other is None)
            assert one is None or torch.equal(one, other)
        frames.append(counter.frame_count)
    assert frames[0] == frames[-1] > 0
    merge_lora(model)
    merge_lora(plain)
    with torch.no_grad():
        expected = batch_loss("ar" if kind is AR else "nar", plain.eval(), batch, 3, 0.25)[1]
        found = batch_loss("ar" if kind is AR else "nar", model.eval(), batch, 3, 0.25)[1]
    assert torch.equal(found, expected)


@pytest.mark.parametrize("kind", [AR, NAR])
def test_on_a_gpu_each_function_is_one_graph(kind: type[AR] | type[NAR]) -> None:
    """As far as torch's device `meta` tells, where dropout is torch's own, as on a GPU."""
    model = kind(ModelConfig(**{**MODEL, "dropout": 0.1})).to("meta")
    compile_layers(model, backend="eager", fullgraph=True)
    loss, _ = batch_loss("ar" if kind is AR else "nar", model, batch_of(3).to("meta"), 3, 0.25)
    loss.backward()


def test_what_is_configured(make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU only where it is asked for; a run is another one then."""
    assert TrainConfig(steps=1).compile is None
    given: list[Any] = []

    def compiled(model: AR | NAR) -> None:
        given.append(model)
        compile_layers(model, backend="eager")

    monkeypatch.setattr(setup, "compile_layers", compiled)
    jobs = [make_job(run=str(value), steps=3, compile=value) for value in (None, False, True)]
    files = []
    for job in jobs:
        assert not given
        train(job)
        files.append(load_file(f"{job.out}.safetensors"))
    assert len(given) == 1
    assert len({job.digest(1) for job in jobs}) == 3
    assert all(torch.equal(files[2][name], value) for name, value in files[0].items())


def test_where_it_gains(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gpu = torch.device("cuda")
    assert not gains(torch.device("cpu"))
    monkeypatch.setattr(compiling, "has_triton", lambda: True)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert not gains(gpu)
    (tmp_path / "gcc").touch(0o755)
    assert gains(gpu)
    monkeypatch.setattr(compiling, "has_triton", lambda: False)
    assert not gains(gpu)
