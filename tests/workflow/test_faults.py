"""Runs that are killed at a random moment, or find the disk full: they end in the same bytes.

`make torture` kills a hundred; REVOICE_KILLS says how many.
"""

import gzip
import hashlib
import json
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from revoice.files import WRITING
from tests.helpers import small
from tests.workflow.conftest import Run, Snakemake

KILLS = int(os.environ.get("REVOICE_KILLS", 5))
# What tells of time and memory, and so differs between two runs that nobody disturbed.
MEASURED = {"seconds", "peak_memory_mb", "code"}
COLUMNS = ("frames_per_second", "peak_memory_mb")
SUMMARIES = {"index.html", "summary.md", "summary.csv"}  # which show these numbers


def digest(path: Path) -> str:
    """Of a file's content, without what was measured with a clock."""
    content = path.read_bytes()
    if path.suffix == ".gz":  # which stores the time
        content = gzip.decompress(content)
    elif path.name == "training.json":
        known = {k: v for k, v in json.loads(content).items() if k not in MEASURED}
        content = json.dumps(known).encode()
    elif path.name == "metrics.csv":
        header, *rows = (line.split(",") for line in content.decode().splitlines())
        kept = [i for i, name in enumerate(header) if name not in COLUMNS]
        content = "\n".join(",".join(row[i] for i in kept) for row in rows).encode()
    return hashlib.sha256(content).hexdigest()


def outcome(folder: Path) -> dict[str, str]:
    """All that a run has left but its records of time."""
    results = folder / "results"
    return {
        path.relative_to(results).as_posix(): digest(path)
        for path in sorted(results.rglob("*"))
        if path.is_file()
        and path.relative_to(results).parts[0] != "benchmarks"
        and path.name not in {*SUMMARIES, ".snakemake_timestamp"}
    }


def prepared(spoken: Path, folder: Path) -> dict[str, Any]:
    """Ten spoken digits, a model of one layer, no measures; and the configuration for them."""
    small.write_ten_digits(spoken, folder)
    for path in (folder / "audio/jackson").iterdir():  # the corpus's index has their times
        os.utime(path, (1e9, 1e9))
    return small.config(score=small.UNSCORED, split={"dev": 0.2, "test": 0.2, "seed": 1})


@pytest.fixture(scope="module")
def undisturbed(
    spoken: Path, snakemake: Snakemake, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, str], float]:
    """What a run leaves that nobody disturbs, and how many seconds it takes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    config, began = prepared(spoken, folder), time.monotonic()
    snakemake(folder, *small.ONE_THREAD, config=config, project=project).succeeded()
    return outcome(folder), time.monotonic() - began


def kill_one_job(after: float) -> Callable[[], bool]:
    """To be asked again and again; once, after so many seconds, it kills a job of the run alone."""
    began, killed = time.monotonic(), []

    def ask() -> bool:
        if killed or time.monotonic() - began < after:
            return False
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if any(".snakemake/scripts/" in part for part in process.cmdline()):
                    process.kill()
                    killed.append(process.pid)
                    break
        return False

    return ask


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_killed_run_ends_in_the_same_bytes(
    spoken: Path,
    snakemake: Snakemake,
    project: Path,
    tmp_path: Path,
    undisturbed: tuple[dict[str, str], float],
    seed: int,
) -> None:
    """By turns the whole process group is killed, and one job alone."""
    expected, seconds = undisturbed
    moment, began = random.Random(seed).uniform(0, seconds), time.monotonic()
    config, how = prepared(spoken, tmp_path), {"project": project}
    all_of_it = seed % 2 == 0
    kill = (lambda: time.monotonic() - began > moment) if all_of_it else kill_one_job(moment)
    snakemake(tmp_path, *small.ONE_THREAD, config=config, kill_when=kill, **how)
    snakemake(tmp_path, *small.ONE_THREAD, **how).succeeded()
    found = outcome(tmp_path)
    assert set(found) == set(expected), f"killed after {moment:.1f} s"
    different = [path for path in expected if found[path] != expected[path]]
    assert not different, f"killed after {moment:.1f} s"
    ours = (
        path for folder in ("results", "work", "data") for path in tmp_path.glob(f"{folder}/**/*")
    )
    left = [path for path in ours if path.name.startswith((WRITING, "tmp"))]
    assert left == [], f"killed after {moment:.1f} s"


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Callable[[], None]]:
    """A disk of that size in the place of a folder; what is yielded fills it up."""
    folder.mkdir(exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs"]
    mounted = subprocess.run(["mount", *options, folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")

    def fill() -> None:
        with open(folder / "filler", "wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    try:
        yield fill
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


# Of each stage: what is made before the disk is full, which disk that is, what is asked for then
STAGES = {
    "resample": ("results/corpora/small/index.json", "results", "results/corpora/small/files.csv"),
    "encode": ("results/codecs/world/codec.json", "results", "results/tiny/cuts/excluded.csv"),
    "train": ("results/tiny/cuts/excluded.csv", "work", "results/tiny/ar/model.safetensors"),
    "summarize": ("results/tiny/scores.md", "results", "results/summary.md"),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk(
    spoken: Path,
    snakemake: Snakemake,
    project: Path,
    tmp_path: Path,
    undisturbed: tuple[dict[str, str], float],
    stage: str,
) -> None:
    """It is said, and when there is room the same command ends in the same bytes."""
    before, disk, target = STAGES[stage]
    config = prepared(spoken, tmp_path)
    with small_disk(tmp_path / disk, 64) as fill:

        def run(*targets: str, **how: Any) -> Run:
            return snakemake(tmp_path, *targets, *small.ONE_THREAD, project=project, **how)

        run(before, config=config).succeeded()
        fill()
        failed = run(target)
        assert failed.returncode != 0
        assert "No space left on device" in failed.output
        assert not (tmp_path / target).exists()
        (tmp_path / disk / "filler").unlink()
        run(target).succeeded()
        run().succeeded()
        assert outcome(tmp_path) == undisturbed[0]
