"""No step waits for what a GPU computes: it runs where there is nothing to look at.

Tensors on torch's device `meta` have shapes alone. Whoever wants to know a number of one, or which
of its elements are True, gets an error, where on a GPU the host would wait.
"""

import importlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from revoice.config_training import TrainConfig
from revoice.model import rows
from revoice.model.valle import AR, NAR, ModelConfig, Parts, sinusoids
from revoice.training.data import Batch
from revoice.training.distributed import Ranks
from revoice.training.job import Job
from revoice.training.objective import batch_loss
from revoice.training.optim import Averages, make_optimizer, make_schedule
from revoice.training.state import TrainState
from revoice.training.train import backward, optimize, train
from tests.helpers.synthetic import MODEL

META = torch.device("meta")
LOOKS = {"item", "tolist", "nonzero", "__bool__", "__int__", "__float__", "__index__", "cpu"}


def batch_of(languages: bool = False) -> Batch:
    lens, code_lens = torch.tensor([5, 3]), torch.tensor([40, 30])
    text = torch.randint(1, 20, (2, 5))
    parts = Parts.of_sizes([[(1, 8.0)] * 5, [(1, 10.0)] * 3])
    codes = torch.randint(0, 1024, (2, 40, 8))
    return Batch(text, lens, codes, code_lens, text * 0 if languages else None, parts)


def run_of(model: AR | NAR, device: torch.device, **settings: Any) -> Any:
    """What `backward` and `optimize` need of a run."""
    config = TrainConfig(steps=10, **settings)
    model.to(device).train()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = make_optimizer(model.named_parameters(), config)
    made = (Averages(trained, "ema"), optimizer, make_schedule(optimizer, config, 10, 5))
    scaler, draws = torch.amp.GradScaler("cpu", enabled=False), torch.Generator().manual_seed(1)
    ranks = Ranks(0, 1, device)
    state = TrainState(Path(), config, ranks, *made, scaler, draws, "fp32")
    return SimpleNamespace(model=model, state=state, autocast=nullcontext)


FRAMES = {"text_positions": "frames", "dropout": 0.1}
CASES: dict[str, tuple[type[AR] | type[NAR], dict[str, Any], dict[str, Any]]] = {
    "ar": (AR, {"layout": "vallex", "languages": ("en",)}, {"accumulate": 2}),
    "ar that places its text": (AR, FRAMES, {"history_noise": 0.2}),
    "nar": (NAR, {"attention_dropout": 0.1}, {}),
    "nar at once": (NAR, {**FRAMES, "sounds": 12}, {"accumulate": 2}),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_a_step_runs_where_nothing_can_be_looked_at(
    monkeypatch: pytest.MonkeyPatch, case: str, packed: bool
) -> None:
    """Both with attention over padded rows, and over rows of any length as on new cards."""
    monkeypatch.setattr(rows, "_flashes", lambda qkv: packed)
    monkeypatch.setattr(rows, "varlen_attn", lambda q, k, v, *ends, **how: q + k + v)
    adam = importlib.import_module("torch.optim.adam")  # whose kernel `meta` has as well
    monkeypatch.setattr(adam, "_device_dtype_check_for_fused", lambda _: None)
    kind, sizes, settings = CASES[case]
    model = kind(ModelConfig(**{**MODEL, **sizes}))
    run = run_of(model, META, **settings)
    batches = [batch_of("languages" in sizes)] * run.state.config.accumulate
    for _ in range(3):
        optimize(run.state, backward("ar" if kind is AR else "nar", run, batches))
        run.state.averages.update(2)
    assert run.state.optimizer.state
    with pytest.raises(NotImplementedError):
        run.state.look()


@pytest.mark.parametrize("kind", [AR, NAR])
def test_lengths_on_the_cpu_change_nothing(kind: type[AR] | type[NAR]) -> None:
    """The model takes lengths from where they are, and each loss is that of lengths beside it."""
    model = kind(ModelConfig(**{**MODEL, "text_positions": "frames"})).eval()
    part, batch = ("ar" if kind is AR else "nar"), batch_of()
    moved = batch.to(META)
    assert moved.text.device == moved.codes.device == META
    assert moved.text_lens is batch.text_lens
    assert moved.parts is batch.parts
    assert torch.equal(
        batch_loss(part, model, batch.to("cpu"), 3, 0.25)[1],
        batch_loss(part, model, batch, 3, 0.25)[1],
    )


class Looks(TorchFunctionMode):
    """Counts what makes a host wait for a device, wherever the tensor is."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += getattr(func, "__name__", "") in LOOKS
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("optimizer", "looks"), [("adamw", 0), ("scaled_adam", 2)])
def test_optimizing_looks_at_nothing(optimizer: str, looks: int) -> None:
    """ScaledAdam's clipping compares with norms of the past, on the host."""
    run = run_of(AR(ModelConfig(**MODEL)), torch.device("cpu"), optimizer=optimizer)
    optimize(run.state, backward("ar", run, [batch_of()]))
    measured = backward("ar", run, [batch_of()])
    with Looks() as mode:
        optimize(run.state, measured)
    assert mode.count == looks


def test_a_training_looks_once_for_each_line_of_metrics(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, look = [], TrainState.look

    def counted(state: TrainState) -> None:
        looks.append(state.progress.step)
        look(state)

    monkeypatch.setattr(TrainState, "look", counted)
    train(make_job(steps=40, log_every=10, checkpoint_every=100, valid_every=100))
    assert looks[:4] == [10, 20, 30, 40]
    assert set(looks[4:]) == {40}, "what is validated and saved at the end"


@pytest.mark.parametrize("optimizer", ["adamw", "scaled_adam"])
def test_a_gradient_that_is_not_finite_changes_nothing(optimizer: str) -> None:
    run = run_of(AR(ModelConfig(**MODEL)), torch.device("cpu"), optimizer=optimizer)
    state, weights = run.state, run.state.averages.trained
    for _ in range(2):
        optimize(state, backward("ar", run, [batch_of()]))
    state.look()
    before = {name: p.detach().clone() for name, p in weights.items()}
    steps = [each["step"].clone() for each in state.optimizer.state.values() if "step" in each]
    interval = state.progress.interval
    measured = backward("ar", run, [batch_of()])
    weights["ar_decoder.norm.weight"].grad[0] = torch.nan  # type: ignore[index]
    optimize(state, measured)
    state.look()
    assert all(torch.equal(weights[name], before[name]) for name in before)
    after = [each["step"] for each in state.optimizer.state.values() if "step" in each]
    assert all(map(torch.equal, steps, after))
    assert state.progress.interval == interval
    assert (state.progress.skipped_steps, state.progress.skipped_in_row) == (1, 1)
    optimize(state, backward("ar", run, [batch_of()]))
    state.look()
    assert (state.progress.skipped_steps, state.progress.skipped_in_row) == (1, 0)
    assert not torch.equal(weights["ar_decoder.norm.weight"], before["ar_decoder.norm.weight"])


def test_what_a_gpu_reads_by_itself() -> None:
    """A DataLoader hands it on as a batch."""
    pinned: list[Tensor] = []

    class Pinning(Tensor):
        def pin_memory(self, *_: Any) -> Tensor:  # type: ignore[override]
            pinned.append(self)
            return self

    batch = batch_of(languages=True)
    assert batch.parts is not None
    parts = Parts(batch.parts.of.as_subclass(Pinning), batch.parts.frames.as_subclass(Pinning))
    tensors = {k: v.as_subclass(Pinning) for k, v in vars(batch).items() if isinstance(v, Tensor)}
    found = torch.utils.data._utils.pin_memory.pin_memory(replace(batch, **tensors, parts=parts))
    assert isinstance(found, Batch)
    assert isinstance(found.parts, Parts)
    assert len(pinned) == 7


def test_positions_that_were_first_seen_in_inference_can_be_trained() -> None:
    with torch.inference_mode():
        sinusoids(torch.arange(3), 34)
    alpha = nn.Parameter(torch.ones(1))
    (alpha * sinusoids(torch.arange(5), 34)).sum().backward()
    assert alpha.grad is not None
