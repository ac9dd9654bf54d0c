"""How long symbols last: found again in made-up speech, and where a model keeps it."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lhotse import CutSet

from revoice.model import PARTS, Part
from revoice.model.checkpoint import load_part, save_model
from revoice.model.valle import ModelConfig
from revoice.training import launch
from revoice.training.job import Job
from revoice.training.pace import PRIOR, SHORTEST, STEPS, symbol_frames
from revoice.training.train import train
from tests.helpers.synthetic import FRAMES_PER_SYMBOL, MODEL, SYMBOLS

DURATIONS = np.array([0, 3, 7, 1, 12, 5, 2, 9])  # nobody says the symbol 0
PLACED = {**MODEL, "text_positions": "frames"}


def spoken(tokens: list[int], frames: int) -> Any:
    """What is looked at of a cut."""
    codes = SimpleNamespace(shape=(frames, 8))
    return SimpleNamespace(supervisions=[SimpleNamespace(tokens=tokens)], codes=codes)


@pytest.fixture(scope="module")
def speech() -> list[Any]:
    random = np.random.default_rng(1)
    texts = [random.integers(1, 8, random.integers(3, 30)) for _ in range(1500)]
    return [spoken(text.tolist(), int(DURATIONS[text].sum())) for text in texts]


def test_durations_are_found_again(speech: list[Any]) -> None:
    found = symbol_frames(speech, 8)
    assert (found.shape, found.dtype) == ((8,), torch.float32)
    np.testing.assert_allclose(found[1:], DURATIONS[1:], atol=0.1)
    said = sum(len(cut.supervisions[0].tokens) for cut in speech)
    mean = sum(cut.codes.shape[0] for cut in speech) / said
    assert found[0] == pytest.approx(mean, abs=0.5 / STEPS)
    assert (found * STEPS == (found * STEPS).round()).all()


def test_the_order_of_cuts_does_not_show(speech: list[Any]) -> None:
    order = np.random.default_rng(2).permutation(len(speech))
    found = symbol_frames(speech, 8)
    assert torch.equal(symbol_frames([speech[i] for i in order], 8), found)
    assert torch.equal(symbol_frames(iter(speech), 8), found)


def test_what_is_rarely_said_stays_near_the_mean() -> None:
    often = [spoken([1] * 10, 50)] * 100
    for times in (1, PRIOR, 50 * PRIOR):
        found = symbol_frames([*often, *[spoken([2], 11)] * times], 3)
        mean = (5000 + 11 * times) / (1000 + times)
        expected = (PRIOR * mean + times * 11) / (PRIOR + times)
        assert found[2] == pytest.approx(expected, abs=0.5 / STEPS)


def test_no_symbol_takes_less_than_no_time() -> None:
    found = symbol_frames([spoken([1], 10), spoken([1, 2], 6)] * 500, 3)
    assert found[2] == SHORTEST


def test_nothing_to_learn_from() -> None:
    with pytest.raises(ValueError, match="no cuts to train on"):
        symbol_frames([], 3)


@pytest.mark.parametrize("part", ["ar", "nar"])
def test_a_model_from_nothing_knows_how_long_symbols_last(
    make_job: Callable[..., Job], part: Any
) -> None:
    job = make_job(part, model=PLACED, steps=3)
    train(job)
    model, meta = load_part(part, job.out)
    assert meta["model"].text_positions == "frames"
    durations = model.get_buffer(f"{part}_symbol_frames")
    cuts = CutSet.from_jsonl_lazy(job.train_cuts)
    assert torch.equal(durations, symbol_frames(cuts, SYMBOLS))
    assert durations.tolist() == [FRAMES_PER_SYMBOL] * SYMBOLS


@pytest.mark.parametrize("part", ["ar", "nar"])
def test_a_model_to_start_from_keeps_its_own(
    make_job: Callable[..., Job], tmp_path: Path, part: Part
) -> None:
    model = PARTS[part](ModelConfig(**PLACED))  # type: ignore[arg-type]
    durations = model.get_buffer(f"{part}_symbol_frames").uniform_(1, 9)
    save_model(tmp_path / "init", model, {})
    job = make_job(part, init=str(tmp_path / "init"), text_symbols=SYMBOLS + 2)
    launch.adopt(job)
    adopted = load_part(part, job.out)[0].get_buffer(f"{part}_symbol_frames")
    assert torch.equal(adopted[:SYMBOLS], durations)
    torch.testing.assert_close(adopted[SYMBOLS:], durations.mean().expand(2))


@pytest.mark.parametrize("part", ["ar", "nar"])
def test_a_model_that_counts_symbols_has_none(make_job: Callable[..., Job], part: Any) -> None:
    job = make_job(part, steps=1)
    train(job)
    assert not list(load_part(part, job.out)[0].buffers())
