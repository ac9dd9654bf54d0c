"""One folder with good and bad files, through the rules that read it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from lhotse import CutSet

from tests.helpers import small

TARGET = "results/corpora/mine/rejected.csv"
GOOD = {"stereo.wav", "cd.wav", "vorbis.ogg"}
BAD = {
    "empty.wav": "is empty",
    "truncated.flac": "is truncated|cannot be decoded",
    "untold.wav": "has no transcript",
}


def configuration(strict: bool) -> dict[str, Any]:
    stage = {"epochs": 1}
    return {
        "corpora": {"mine": {"kind": "folder", "path": "recordings", "speaker": "me"}},
        "audio": {"strict": strict},
        "split": {"dev": 0, "test": 0},
        "experiments": {"demo": {"corpora": ["mine"], "ar": stage, "nar": stage}},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with the recordings that people send."""
    root = tmp_path / "recordings"
    root.mkdir()
    source = np.random.default_rng(1)
    for name, rate, channels in [
        ("stereo.wav", 48000, 2),
        ("cd.wav", 44100, 1),
        ("vorbis.ogg", 22050, 1),
        ("truncated.flac", 16000, 1),
        ("untold.wav", 24000, 1),
    ]:
        soundfile.write(root / name, 0.1 * source.standard_normal((2 * rate, channels)), rate)
        (root / name).with_suffix(".txt").write_text(f"This is {name}.")
    content = (root / "truncated.flac").read_bytes()
    (root / "truncated.flac").write_bytes(content[: len(content) // 2])
    (root / "empty.wav").touch()
    (root / "empty.txt").write_text("Nothing.")
    (root / "untold.txt").unlink()
    return tmp_path


def test_good_files_come_through_and_bad_ones_are_listed(
    folder: Path, snakemake: Callable[..., Any]
) -> None:
    run = snakemake(folder, TARGET, config=configuration(strict=False)).succeeded()
    assert run.jobs == ["index mine", "manifests mine", "resample mine/s"]
    rejected = pd.read_csv(folder / TARGET).set_index("path")["reason"]
    assert set(rejected.index) == set(BAD)
    for name, reason in BAD.items():
        assert pd.Series([rejected[name]]).str.contains(reason).all(), rejected[name]
    files = pd.read_csv(folder / "results/corpora/mine/files.csv").set_index("path")
    assert set(files.index) == GOOD | set(BAD)
    assert files["rate"]["stereo.wav"] == 48000
    assert files["channels"]["stereo.wav"] == 2
    assert files["reason"].isna().sum() == len(GOOD)
    cuts = list(CutSet.from_jsonl_lazy(folder / "results/corpora/mine/cuts_train.jsonl.gz"))
    assert {cut.supervisions[0].text for cut in cuts} == {f"This is {name}." for name in GOOD}
    for cut in cuts:
        path = folder / cut.recording.sources[0].source
        samples, rate = soundfile.read(path, always_2d=True)
        assert (rate, samples.shape) == (24000, (cut.num_samples, 1))
        assert cut.duration == pytest.approx(2, abs=0.05)
    assert snakemake(folder, TARGET).succeeded().jobs == []


def test_strict_mode_fails_and_says_why(folder: Path, snakemake: Callable[..., Any]) -> None:
    run = snakemake(folder, TARGET, config=configuration(strict=True))
    assert run.returncode != 0
    assert "empty.wav is empty" in run.output
    assert "truncated.flac" in run.output
    assert "set audio.strict: false to go on without them" in run.output
    assert not (folder / TARGET).exists()
    for name in ("empty.wav", "truncated.flac"):
        (folder / "recordings" / name).unlink()
    run = snakemake(folder, TARGET)
    assert run.returncode != 0
    assert "untold.wav: has no transcript" in run.output
    (folder / "recordings" / "untold.txt").write_text("Told at last.")
    snakemake(folder, TARGET).succeeded()
    assert pd.read_csv(folder / TARGET).empty


def lengthened(folder: Path, name: str, seconds: float) -> None:
    """A recording of noise with a transcript."""
    (folder / "recordings").mkdir(exist_ok=True)
    noise = 0.1 * np.random.default_rng(2).standard_normal(int(24000 * seconds))
    soundfile.write(folder / "recordings" / f"{name}.wav", noise, 24000)
    (folder / "recordings" / f"{name}.txt").write_text(f"This is number {name}.")


def trained(**split: float) -> dict[str, Any]:
    """A configuration that trains for two steps."""
    stage = {"steps": 2, "batch_seconds": 30}
    experiment = {
        "corpora": ["mine"],
        "codec": "world",
        "model": {"width": 32, "layers": 1, "heads": 2},
        "limits": {"min_frames_per_symbol": 0, "max_frames_per_symbol": 1000},
        "ar": stage,
        "nar": stage,
    }
    return configuration(strict=False) | {
        "split": split,
        "experiments": {"demo": experiment},
        "score": small.UNSCORED,
    }


def test_too_long_for_the_limits(tmp_path: Path, snakemake: Callable[..., Any]) -> None:
    """It is said before anything is fitted or encoded."""
    for name in "abcd":
        lengthened(tmp_path, name, 21)
    run = snakemake(tmp_path, config=trained(dev=0.3, test=0.3))
    assert run.returncode != 0
    assert re.search(
        r"experiments.demo.limits.max_seconds = 20: (\d) of \1 cuts are longer", run.output
    )
    assert not {job.split()[0] for job in run.jobs} & {
        "fit_codec",
        "encode",
        "select_cuts",
        "train_ar",
    }
    listed = pd.read_csv(tmp_path / "logs/check_limits/mine.csv")
    assert sorted(listed["id"]) == [f"mine-{name}" for name in "abcd"]


def test_one_recording(tmp_path: Path, snakemake: Callable[..., Any]) -> None:
    """Where one cannot be held out, that is said, and how to go on without."""
    lengthened(tmp_path, "one", 10)
    run = snakemake(tmp_path, config=trained(dev=0.1, test=0.1))
    assert run.returncode != 0
    assert "experiments.demo: no cut is in dev, of 1 in all" in run.output
    assert "`split: {dev: 0}` trains without validation" in run.output
    snakemake(tmp_path, config=trained(dev=0, test=0.1)).succeeded()
    table = (tmp_path / "results/demo/table.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in table[1:3]] == ["AR Train", "NAR Train"]
    assert not any("Valid" in row or "Test" in row for row in table)
    assert pd.read_csv(tmp_path / "results/demo/sentences.csv").empty
    assert "1 train, 0 dev, 0 test cuts" in (tmp_path / "results/demo/table.md").read_text()
    page = (tmp_path / "results/index.html").read_text()
    assert "demo" in page
    assert snakemake(tmp_path).succeeded().jobs == []


def test_a_configuration_with_a_fault(folder: Path, snakemake: Callable[..., Any]) -> None:
    config = configuration(strict=False)
    config["audio"]["loudnes"] = -20
    run = snakemake(folder, TARGET, config=config)
    assert run.returncode != 0
    assert "audio.loudnes is not a key here. Did you mean loudness?" in run.output
    assert "Traceback" not in run.output


def test_a_corpus_that_is_not_there(folder: Path, snakemake: Callable[..., Any]) -> None:
    config = configuration(strict=False)
    config["corpora"]["mine"]["path"] = "recordngs"
    run = snakemake(folder, TARGET, config=config)
    assert run.returncode != 0
    assert "corpora.mine: recordngs is not a folder" in run.output
    assert "Traceback" not in run.output
