"""The workflow itself on a real SLURM: all of it, a training out of time, one on two nodes."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.helpers import small
from tests.helpers.cluster import Environment, Run, gpus_of, jobs_of, stop
from tests.slurm.conftest import wait_until


def prepare(folder: Path, **training: Any) -> list[str]:
    """Write the configuration; returns the arguments that run the workflow with it.

    Given the settings of one training, they run that training alone.
    """
    config = small.config(score=small.UNSCORED)
    config["experiments"]["tiny"] |= training
    (folder / "config.json").write_text(json.dumps(config))
    targets = [f"results/tiny/{part}/model.safetensors" for part in training]
    alone = ["--rerun-triggers", "mtime", "--forcerun", *(f"train_{part}" for part in training)]
    options = ["--configfile", "config.json", "--snakefile", str(ROOT / "Snakefile")]
    return [*targets, *(alone if training else []), *options]


@pytest.fixture(scope="module")
def finished(spoken: Path, snakemake: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the small workflow ran through the profile."""
    folder = tmp_path_factory.mktemp("workflow")
    small.write_corpus(spoken, folder / "audio")
    process = snakemake(folder, *prepare(folder), "--retries", "1")
    assert process.wait(1800) == 0, (folder / "snakemake.out").read_text()
    return folder


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to go on from."""
    return shutil.copytree(finished, tmp_path / "copy", symlinks=True)


def test_small_workflow(slurm: Environment, finished: Path) -> None:
    assert (finished / "results/index.html").exists()
    jobs = {job["Comment"].removeprefix("rule_"): job for job in jobs_of(slurm, finished)}
    assert {job["JobState"] for job in jobs.values()} == {"COMPLETED"}
    on_gpus = {name.partition("_wildcards")[0] for name, job in jobs.items() if gpus_of(job)}
    assert on_gpus == {"encode_encode", "train_ar", "train_nar", "evaluate", "synthesize"}
    assert {job["Partition"] for job in jobs.values() if not gpus_of(job)} == {"cpu"}
    assert not any("fetch" in name for name in jobs), "downloads need a network: not on a node"
    shards = list((finished / "results/corpora/small/shards").glob("*.tsv"))
    encodings = [name for name in jobs if name.startswith("encode")]
    assert len(encodings) < len(shards) or len(shards) == 1


def test_training_goes_on_after_its_time_limit(
    slurm: Environment, snakemake: Run, copy: Path
) -> None:
    """Warned of its time limit it saves and ends, else it is killed; both times it goes on."""
    endless = small.training(steps=10**6, valid_every=10**6, checkpoint_every=50, log_every=1)
    log = copy / "logs/train_ar/tiny.log"
    warning = "train_ar:slurm_extra='--signal=USR1@180' if attempt == 1 else ''"
    options = ["--retries", "3", "--set-resources", warning]
    process = snakemake(copy, *prepare(copy, ar=endless), *options)

    def job(state: str, number: int) -> dict[str, str] | None:
        jobs = jobs_of(slurm, copy)
        return jobs[-1] if len(jobs) == number and jobs[-1]["JobState"] == state else None

    def said() -> str:
        try:
            return log.read_text()
        except FileNotFoundError:  # Snakemake removes it before each attempt
            return ""

    def limit(job: dict[str, str], minutes: int) -> None:
        command = ["scontrol", "update", f"JobId={job['JobId']}", f"TimeLimit={minutes}"]
        subprocess.run(command, env=slurm, check=True)

    def minutes_run() -> int:
        hours, minutes, _ = jobs_of(slurm, copy)[-1]["RunTime"].split(":")
        return 60 * int(hours) + int(minutes)

    def trained(start: int) -> bool:
        steps = re.findall(rf" step (\d+)/{endless['steps']}", said())
        return bool(steps) and int(steps[-1]) > start + 60

    def went_on_from() -> int:
        return int((re.findall(r"going on from step (\d+),", said()) or [-1])[-1])

    first = wait_until(lambda: job("RUNNING", 1), process, copy)
    wait_until(lambda: trained(0), process, copy)
    limit(first, minutes_run() + 3)  # what is left is less than the warning comes ahead
    wait_until(lambda: "is saved" in said(), process, copy)
    saved = int(re.findall(r"interrupted: step (\d+) is saved", said())[0])

    second = wait_until(lambda: job("RUNNING", 2), process, copy)
    wait_until(lambda: went_on_from() == saved and trained(saved), process, copy)
    limit(second, 1)
    wait_until(lambda: job("RUNNING", 3), process, copy)
    wait_until(lambda: went_on_from() > saved, process, copy)
    states = [job["JobState"] for job in jobs_of(slurm, copy)]
    assert states == ["FAILED", "TIMEOUT", "RUNNING"]
    stop(process)
    assert job("CANCELLED", 3)


def test_training_on_two_nodes(slurm: Environment, snakemake: Run, copy: Path) -> None:
    """Two numbers in the profile's place, and srun starts a process for each GPU of each node."""
    arguments = prepare(copy, nar=small.training(steps=6, batch_seconds=5))
    wishes = ["nodes=2", "gres=gpu:1", "gpu=0"]
    process = snakemake(
        copy,
        *arguments,
        "--retries",
        "0",
        "--set-resources",
        *(f"train_nar:{wish}" for wish in wishes),
    )
    assert process.wait(900) == 0, (copy / "snakemake.out").read_text()
    training = json.loads((copy / "results/tiny/nar/training.json").read_text())
    assert (training["processes"], training["steps"]) == (2, 6)
    (job,) = jobs_of(slurm, copy)
    assert (job["NumNodes"], gpus_of(job)) == ("2", 1)
