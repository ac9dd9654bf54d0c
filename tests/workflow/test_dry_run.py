"""`snakemake -n` writes nothing, and no Snakefile is read with consequences while a run is on."""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import yaml

from revoice.corpus.index import read_index
from tests.helpers import small
from tests.workflow.conftest import ROOT, Snakemake

TARGET = "results/corpora/small/recordings.jsonl.gz"
INDEX = "results/corpora/small/index.json"
OURS = ("results", "work", "data", "logs", "audio")


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of all files and folders that are not Snakemake's own."""
    return {
        path.relative_to(folder).as_posix(): (
            path.read_bytes() if path.is_file() else b"",
            path.lstat().st_mtime_ns,
        )
        for name in OURS
        for path in [folder / name, *(folder / name).rglob("*")]
        if path.exists()
    }


@pytest.fixture(scope="module")
def folder(spoken: Path, snakemake: Snakemake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus of two speakers, of which the manifests are made."""
    folder = tmp_path_factory.mktemp("folder")
    small.write_corpus(spoken, folder / "audio")
    speakers = sorted(path for path in (folder / "audio").iterdir() if path.name != "lj")
    for speaker in speakers[2:]:
        shutil.rmtree(speaker)
    config = small.config(audio={"shard_minutes": 1})
    before = tree(folder)
    run = snakemake(folder, "-n", config=config).succeeded()
    assert "index small" in run.jobs
    assert tree(folder) == before, "in a fresh folder"
    assert not (folder / ".snakemake/alive").exists()
    run = snakemake(folder, TARGET).succeeded()
    assert run.rules == ["index", "manifests", "resample"]
    assert (folder / ".snakemake/alive").exists()
    return folder


def change(folder: Path) -> None:
    """A recording more and one less, and a transcript corrected."""
    first, *_, last = sorted((folder / "audio").rglob("*.wav"))
    shutil.copyfile(first, first.with_name(f"new-{time.monotonic_ns()}.wav"))
    first.with_suffix(".txt").write_text("something else", "utf-8")
    last.unlink()


def test_a_dry_run_after_new_files(folder: Path, snakemake: Snakemake) -> None:
    before = tree(folder)
    assert snakemake(folder, "-n", TARGET).succeeded().jobs == []
    assert tree(folder) == before, "nothing to do"
    change(folder)
    before = tree(folder)
    run = snakemake(folder, "-n", TARGET).succeeded()
    assert run.rules == ["index", "manifests", "resample"]
    assert tree(folder) == before


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """A run that stands still as soon as it has the lock."""
    command = [sys.executable, "-m", "snakemake", TARGET, "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(folder / "config.yaml")]
    with open(folder / "running.log", "w", encoding="utf-8") as log:
        process = psutil.Popen([*command, "--cores", "1"], cwd=folder, stdout=log, stderr=log)
    try:
        while not list((folder / ".snakemake/locks").glob("*output.lock")):
            assert process.poll() is None, (folder / "running.log").read_text("utf-8")
            time.sleep(0.02)
        process.suspend()
        for job in process.children(recursive=True):
            job.suspend()
        yield
    finally:
        for each in [process, *process.children(recursive=True)]:
            each.kill()
        process.wait()


def test_nothing_is_written_while_another_run_holds_the_lock(
    folder: Path, snakemake: Snakemake
) -> None:
    change(folder)
    with running(folder):
        change(folder)
        before, alive = tree(folder), (folder / ".snakemake/alive").stat().st_mtime_ns
        run = snakemake(folder, "-n", TARGET).succeeded()
        assert "index small" in run.jobs
        assert tree(folder) == before
        run = snakemake(folder, TARGET)
        assert run.returncode == 1
        assert run.jobs == []
        assert "Directory cannot be locked" in run.output
        assert "make sure that no other Snakemake process is trying to create" in run.output
        assert str(folder) in run.output.partition("Directory cannot be locked")[2]
        assert "Traceback" not in run.output
        assert tree(folder) == before
        assert (folder / ".snakemake/alive").stat().st_mtime_ns == alive
        assert list((folder / ".snakemake/locks").glob("*.lock"))
    written = read_index(folder / INDEX)
    assert written.shards, "a run that was killed leaves the former index"
    run = snakemake(folder, INDEX).succeeded()
    assert "A run here was killed" in run.output
    assert run.jobs == ["index small"]


@pytest.mark.parametrize("name", ["encodec", "vallex"])
def test_configurations_to_choose_from(name: str, tmp_path: Path, snakemake: Snakemake) -> None:
    """In an empty folder: nothing is fetched yet."""
    shutil.copyfile(ROOT / f"config/{name}.yaml", tmp_path / "config.yaml")
    rules = snakemake(tmp_path, "-n").succeeded().rules
    assert {"fetch_corpus", "fetch_codec", "train_ar", "train_nar", "tabulate"} <= set(rules)
    assert ("import_checkpoint" in rules) == (name == "vallex")
    assert "fetch_decoder" not in rules
    values = yaml.safe_load((tmp_path / "config.yaml").read_text("utf-8"))
    values["synthesis"]["decoder"] = "vocos"
    assert set(snakemake(tmp_path, "-n", config=values).succeeded().rules) == {
        *rules,
        "fetch_decoder",
    }
