"""Which frames say which symbol: found again in made-up speech, and what a model keeps of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lhotse import CutSet
from safetensors.torch import save_file

from revoice.files import read_json
from revoice.model import PARTS, Part
from revoice.model.aligner import equal_parts
from revoice.model.checkpoint import load_part, save_model
from revoice.model.valle import AR, NAR, ModelConfig
from revoice.training import launch
from revoice.training.align import align, aligner_of, fit_aligner
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


def test_minutes_are_enough_where_others_are_known(tmp_path: Path) -> None:
    known = fit_aligner(speech(300, 1)[0], 9)
    unheard, lasting = speech(60, 2)
    few = unheard[:4]
    away = []
    for aligner in (fit_aligner(few, 10), fit_aligner(few, 10, known)):
        pairs = zip(unheard, lasting, strict=True)
        away.append(
            np.mean([np.abs(np.cumsum(aligner.frames(*u)) - np.cumsum(t)).mean() for u, t in pairs])
        )
    assert away[1] < 0.7 < away[0]
    assert len(fit_aligner(few, 10, known).says) == 10

    nar = NAR(ModelConfig(**{**PLACED, "text_symbols": 9}))  # type: ignore[arg-type]
    nar.nar_aligner.take(known.state_dict())
    save_model(tmp_path / "nar", nar, {})
    save_file(known.state_dict(), tmp_path / "aligner.safetensors")
    for name in ("nar", "aligner"):
        found = aligner_of(tmp_path / f"{name}.safetensors")
        assert found is not None
        assert all(torch.equal(v, known.state_dict()[k]) for k, v in found.state_dict().items())
    save_model(tmp_path / "other", NAR(ModelConfig(**MODEL)), {})  # type: ignore[arg-type]
    assert aligner_of(tmp_path / "other.safetensors") is None
    (tmp_path / "torn.safetensors").write_bytes((tmp_path / "nar.safetensors").read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"torn.safetensors is not a whole safetensors file"):
        aligner_of(tmp_path / "torn.safetensors")


def test_the_order_of_utterances_does_not_show() -> None:
    utterances, _ = speech(60, 1)
    one, other = (fit_aligner(each, 8).state_dict() for each in (utterances, utterances[::-1]))
    assert set(one) == {"says", "heard", "omitted"}
    for name, value in one.items():
        assert torch.equal(value, other[name])
        assert torch.equal(value, value.half().float()), "exact in half precision"


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
    one, two = (len(cut.supervisions[0].tokens) for cut in cuts)
    each = (1, FRAMES_PER_SYMBOL)
    whole = load_example(cuts[0], separator=[0, 0], ends=[1, 2])
    assert whole.parts == [(1, 0), *[each] * one, (1, 0)]
    joined = load_example(cuts[0].append(cuts[1]), separator=[0, 0], ends=[1, 2])
    assert joined.parts == [(1, 0), *[each] * one, *[(1, 0)] * 2, *[each] * two, (1, 0)]
    assert sum(frames for _, frames in joined.parts) == len(joined.codes)


def test_an_ar_learns_how_long_symbols_last(make_job: Callable[..., Job]) -> None:
    job = make_job("ar", model=PLACED, steps=60)
    train(job)
    model, meta = load_part("ar", job.out)
    assert meta["model"].text_positions == "frames"
    errors = []
    for one in (AR(ModelConfig(**PLACED)), model):  # type: ignore[arg-type]
        text = torch.arange(1, SYMBOLS)[None]
        said = one.ar_durations(text, torch.zeros_like(text, dtype=torch.bool))
        errors.append((said - FRAMES_PER_SYMBOL).abs().mean().item())
    assert errors[1] < errors[0] / 3


def test_the_pace_alone_is_learned(make_job: Callable[..., Job], tmp_path: Path) -> None:
    """Whatever the loss, which does not change, what is trained last is what comes out."""
    before = AR(ModelConfig(**PLACED))  # type: ignore[arg-type]
    save_model(tmp_path / "init", before, {})
    job = make_job(
        "ar",
        init=str(tmp_path / "init"),
        text_symbols=SYMBOLS,
        trainable=["ar_durations.*"],
        steps=60,
        valid_every=20,
    )
    train(job)
    after, _ = load_part("ar", job.out)
    assert isinstance(after, AR)
    for name, value in before.state_dict().items():
        if not name.startswith("ar_durations"):
            assert torch.equal(value, after.state_dict()[name]), name
    assert read_json(f"{Path(job.out).parent}/training.json")["best_step"] == 60
    text = torch.arange(1, SYMBOLS)[None]
    off = [
        (one.ar_durations(text, torch.zeros_like(text).bool()) - FRAMES_PER_SYMBOL).abs().mean()
        for one in (before, after)
    ]
    assert off[1] < off[0] / 3


def test_a_nar_keeps_the_aligner_of_its_manifests(
    make_job: Callable[..., Job], tmp_path: Path
) -> None:
    aligner = fit_aligner(speech(50, 1)[0], SYMBOLS)
    save_file(aligner.state_dict(), tmp_path / "aligner.safetensors")
    job = make_job("nar", model=PLACED, steps=1, aligner=str(tmp_path / "aligner.safetensors"))
    train(job)
    kept = load_part("nar", job.out)[0].nar_aligner.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in aligner.state_dict().items())

    grown = make_job(
        "nar",
        init=job.out,
        text_symbols=SYMBOLS + 2,
        aligner=str(tmp_path / "aligner.safetensors"),
        steps=1,
    )
    grown = replace(grown, out=str(tmp_path / "grown"))
    train(grown)
    kept = load_part("nar", grown.out)[0].nar_aligner
    assert torch.equal(kept.says[:SYMBOLS], aligner.says)
    assert len(kept.says) == SYMBOLS + 2


@pytest.mark.parametrize("part", ["ar", "nar"])
def test_a_model_that_is_taken_over_keeps_its_own(
    make_job: Callable[..., Job], tmp_path: Path, part: Part
) -> None:
    model = PARTS[part](ModelConfig(**PLACED))  # type: ignore[arg-type]
    for buffer in model.buffers():
        buffer.normal_()
    save_model(tmp_path / "init", model, {})
    job = make_job(part, init=str(tmp_path / "init"), text_symbols=SYMBOLS + 2)
    launch.adopt(job)
    adopted = load_part(part, job.out)[0].state_dict()
    own = ("durations", "aligner")
    known = {k: v for k, v in model.state_dict().items() if any(name in k for name in own)}
    assert len(known) == (9 if part == "ar" else 3)
    for name, value in known.items():
        assert torch.equal(adopted[name][: len(value)], value), name


@pytest.mark.parametrize("part", ["ar", "nar"])
def test_a_model_that_counts_symbols_has_neither(make_job: Callable[..., Job], part: Any) -> None:
    job = make_job(part, steps=1)
    train(job)
    names = [name for name, _ in load_part(part, job.out)[0].named_modules()]
    assert not [name for name in names if "durations" in name or "aligner" in name]


def test_what_tells_a_text() -> None:
    """The text that is said is heard in codes, another one is not, nor is it in half of them."""
    aligner = fit_aligner(speech(300, 1)[0], 9)
    told = {"own": [], "other": [], "still": []}  # type: dict[str, list[float]]
    utterances, lasting = speech(50, 2)
    for (ids, codes), frames in zip(utterances, lasting, strict=True):
        told["own"].append(aligner.told(ids, codes))
        told["other"].append(aligner.told(np.random.default_rng(1).permutation(ids), codes))
        first = codes[: frames[0]].repeat(len(codes))[: len(codes)]
        told["still"].append(aligner.told(ids, first))
    own = np.array(told["own"])
    assert (own > np.array(told["other"])).mean() > 0.85
    assert (own > np.array(told["still"])).mean() > 0.85
    assert own.min() > 0
    assert aligner.told(ids, codes[:0]) == 0
