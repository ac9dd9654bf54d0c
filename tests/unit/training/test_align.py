"""Which frames say which symbol: found again in made-up speech, and what a model keeps of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lhotse import CutSet

from revoice.model import PARTS, Part
from revoice.model.checkpoint import load_part, save_model
from revoice.model.valle import ModelConfig
from revoice.training import launch
from revoice.training.align import align, equal_parts, fit_aligner
from revoice.training.data import load_example
from revoice.training.job import Job
from revoice.training.train import train
from tests.helpers.synthetic import FRAMES_PER_SYMBOL, MODEL, SYMBOLS, write_cuts

PLACED = {**MODEL, "text_positions": "frames"}
SILENT = 7  # a symbol that has no frames


def speech(number: int, seed: int) -> tuple[list[tuple[Any, Any]], list[Any]]:
    """Utterances of symbols 1 to 7 whose codes are 12 each, a few common; and their frames."""
    sounds = np.random.default_rng(5).integers(0, 1024, (8, 12))
    random = np.random.default_rng(seed)
    utterances, lasting = [], []
    for _ in range(number):
        ids = random.integers(1, 7, random.integers(3, 20))
        ids[1:-1][random.random(len(ids) - 2) < 0.2] = SILENT
        frames = np.where(ids == SILENT, 0, random.integers(1, 8, len(ids)))
        said = np.repeat(ids, frames)
        codes = sounds[said, random.integers(0, 12, len(said))]
        noise = random.random(len(said)) < 0.1
        utterances.append((ids, np.where(noise, random.integers(0, 1024, len(said)), codes)))
        lasting.append(frames)
    return utterances, lasting


def test_alignments_are_found_again() -> None:
    utterances, _ = speech(300, 1)
    aligner = fit_aligner(utterances, 9)
    unheard, lasting = speech(50, 2)
    away, frames = 0, 0
    for (ids, codes), truth in zip(unheard, lasting, strict=True):
        found = aligner.frames(ids, codes)
        assert found.sum() == len(codes)
        twice = np.flatnonzero((ids[1:] == ids[:-1]) & (ids[1:] != SILENT))  # where nobody knows
        ends = np.delete(np.abs(np.cumsum(found) - np.cumsum(truth)), twice)
        away, frames = away + ends.sum(), frames + len(ends)
    assert away / frames < 0.5
    silent = np.concatenate([aligner.frames(*u)[u[0] == SILENT] for u in unheard])
    assert (silent <= 1).mean() > 0.8


def test_the_order_of_utterances_does_not_show() -> None:
    utterances, _ = speech(60, 1)
    for one, other in zip(
        fit_aligner(utterances, 8), fit_aligner(utterances[::-1], 8), strict=True
    ):
        assert one.dtype == np.int64
        assert (one == other).all()


@pytest.mark.parametrize(("symbols", "frames"), [(1, 1), (1, 9), (2, 1), (5, 3), (9, 2), (40, 21)])
def test_few_frames_are_shared_out(symbols: int, frames: int) -> None:
    aligner = fit_aligner(speech(20, 1)[0], 8)
    ids, codes = np.full(symbols, 3), np.arange(frames)
    found = aligner.frames(ids, codes)
    assert found.shape == (symbols,)
    assert found.sum() == frames
    assert found.min() >= 0
    if frames < symbols // 2 + 1:
        assert (found == equal_parts(symbols, frames)).all()


def test_manifests_are_aligned(tmp_path: Path) -> None:
    read = {split: Path(write_cuts(tmp_path / split, 60, seed)) for seed, split in enumerate("ab")}
    read = {"train": read["a"], "dev": read["b"]}
    written = {split: str(tmp_path / f"{split}.jsonl.gz") for split in read}
    align(read, written, SYMBOLS)
    exact = []
    for split, path in read.items():
        pairs = zip(CutSet.from_file(path), CutSet.from_file(written[split]), strict=True)
        for before, after in pairs:
            said = after.supervisions[0]
            assert sum(said.frames) == after.codes.shape[0]
            exact += [frames == FRAMES_PER_SYMBOL for frames in said.frames]
            assert [said.tokens, after.codes] == [before.supervisions[0].tokens, before.codes]
    assert np.mean(exact) > 0.8


def test_examples_know_where_each_symbol_is_said(tmp_path: Path) -> None:
    cuts = list(CutSet.from_file(write_cuts(tmp_path, 2)))
    cuts[0].id = "aligned"
    one, two = (len(cut.supervisions[0].tokens) for cut in cuts)
    each = (1, FRAMES_PER_SYMBOL)
    whole = load_example(cuts[0], separator=[0, 0], ends=[1, 2])
    assert whole.parts == [(1, 0), *[each] * one, (1, 0)]
    joined = load_example(cuts[0].append(cuts[1]), separator=[0, 0], ends=[1, 2])
    assert joined.parts == [(1, 0), *[each] * one, *[(1, 0)] * 2, *[each] * two, (1, 0)]
    assert sum(frames for _, frames in joined.parts) == len(joined.codes)
    cuts[0].id = "prompt"
    assert load_example(cuts[0], separator=[0, 0], ends=[1, 2]).parts == whole.parts
    joined = load_example(cuts[0].append(cuts[1]), separator=[0, 0], ends=[1, 2])
    whole_prompt = (one + 1, one * FRAMES_PER_SYMBOL)
    assert joined.parts == [whole_prompt, *[(1, 0)] * 2, *[each] * two, (1, 0)]


@pytest.mark.parametrize("part", ["ar", "nar"])
def test_a_model_learns_how_long_symbols_last(make_job: Callable[..., Job], part: Any) -> None:
    job = make_job(part, model=PLACED, steps=60)
    train(job)
    model, meta = load_part(part, job.out)
    assert meta["model"].text_positions == "frames"
    untaught = PARTS[part](ModelConfig(**PLACED))  # type: ignore[arg-type]
    errors = []
    for one in (untaught, model):
        text = torch.arange(1, SYMBOLS)[None]
        said = one.get_submodule(f"{part}_durations")(
            text, torch.zeros_like(text, dtype=torch.bool)
        )
        errors.append((said - FRAMES_PER_SYMBOL).abs().mean().item())
    assert errors[1] < errors[0] / 3


@pytest.mark.parametrize("part", ["ar", "nar"])
def test_a_model_that_is_taken_over_keeps_its_own(
    make_job: Callable[..., Job], tmp_path: Path, part: Part
) -> None:
    model = PARTS[part](ModelConfig(**PLACED))  # type: ignore[arg-type]
    save_model(tmp_path / "init", model, {})
    job = make_job(part, init=str(tmp_path / "init"), text_symbols=SYMBOLS + 2)
    launch.adopt(job)
    adopted = load_part(part, job.out)[0].state_dict()
    known = {name: value for name, value in model.state_dict().items() if "durations" in name}
    assert len(known) == 9
    for name, value in known.items():
        assert torch.equal(adopted[name][: len(value)], value), name


@pytest.mark.parametrize("part", ["ar", "nar"])
def test_a_model_that_counts_symbols_has_no_durations(
    make_job: Callable[..., Job], part: Any
) -> None:
    job = make_job(part, steps=1)
    train(job)
    assert not [name for name, _ in load_part(part, job.out)[0].named_modules() if "dur" in name]
