"""The workflow itself on a real SLURM: all of it, a training out of time, one on two nodes."""

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.slurm.cluster import gpus_of, jobs_of
from tests.workflow import small

ROOT = Path(__file__).resolve().parents[2]
Environment = dict[str, str]
Run = Callable[..., subprocess.Popen[str]]


def prepare(folder: Path, **training: Any) -> list[str]:
    """Write the configuration; returns the arguments that run the workflow with it."""
    config = small.config()
    config["experiments"]["tiny"] |= training
    (folder / "config.json").write_text(json.dumps(config))
    return ["--snakefile", str(ROOT / "Snakefile"), "--configfile", "config.json"]


@pytest.fixture(scope="module")
def finished(shared: Path, snakemake: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the small workflow ran through the profile."""
    folder = tmp_path_factory.mktemp("workflow")
    small.write_corpus(shared, folder / "audio")
    process = snakemake(folder, *prepare(folder), "--retries", "1")
    assert process.wait(1800) == 0, (folder / "snakemake.out").read_text()
    return folder


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to go on from."""
    return shutil.copytree(finished, tmp_path / "copy", symlinks=True)


def wait_until(condition: Callable[[], Any], process: subprocess.Popen[str], folder: Path) -> Any:
    """What the condition gives when it gives something; fails when Snakemake ends before."""
    deadline = time.monotonic() + 400
    while not (result := condition()):
        said = (folder / "snakemake.out").read_text()
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.3)
    return result


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
    """Warned of its time limit it saves and ends; stuck it is killed; each time it goes on."""
    endless = small.stage(steps=10**6, valid_every=10**6, checkpoint_every=50, log_every=1)
    target = "results/tiny/ar/model.safetensors"
    log = copy / "logs/train_ar/tiny.log"
    process = snakemake(copy, *prepare(copy, ar=endless), target, "--retries", "3")

    def job(state: str, number: int) -> dict[str, str] | None:
        jobs = jobs_of(slurm, copy)
        return jobs[-1] if len(jobs) == number and jobs[-1]["JobState"] == state else None

    def steps() -> list[int]:
        return [int(n) for n in re.findall(r" step (\d+)/", log.read_text())]

    def limit(job: dict[str, str], minutes: int) -> None:
        command = ["scontrol", "update", f"JobId={job['JobId']}", f"TimeLimit={minutes}"]
        subprocess.run(command, env=slurm, check=True)

    def trained(start: int) -> bool:
        return log.exists() and len(steps()) > 5 and steps()[-1] > start + 60

    first = wait_until(lambda: job("RUNNING", 1), process, copy)
    wait_until(lambda: trained(0), process, copy)
    limit(first, 3)  # less is left now than the warning comes ahead
    wait_until(lambda: "is saved" in log.read_text(), process, copy)
    saved = int(re.findall(r"interrupted: step (\d+) is saved", log.read_text())[0])

    second = wait_until(lambda: job("RUNNING", 2), process, copy)
    wait_until(lambda: f"going on from step {saved}," in log.read_text(), process, copy)
    wait_until(lambda: trained(saved), process, copy)
    for one in psutil.process_iter(["cmdline", "cwd"]):
        if one.info["cwd"] == str(copy) and "train_ar.py" in " ".join(one.info["cmdline"] or []):
            one.send_signal(signal.SIGSTOP)
    limit(second, 1)
    wait_until(lambda: job("TIMEOUT", 2) or job("RUNNING", 3), process, copy)

    wait_until(lambda: job("RUNNING", 3), process, copy)
    going_on = re.compile(r"going on from step (\d+),")
    again = wait_until(lambda: going_on.search(log.read_text()), process, copy)
    assert int(again[1]) > saved
    states = [job["JobState"] for job in jobs_of(slurm, copy)]
    assert states == ["FAILED", "TIMEOUT", "RUNNING"]


def test_training_on_two_nodes(slurm: Environment, snakemake: Run, copy: Path) -> None:
    """Two numbers in the profile's place, and srun starts a process for each GPU of each node."""
    arguments = prepare(copy, nar=small.stage(steps=6, batch_seconds=5))
    wishes = ["nodes=2", "gres=gpu:1", "gpu=0"]
    process = snakemake(
        copy,
        *arguments,
        "results/tiny/nar/model.safetensors",
        "--retries",
        "0",
        "--set-resources",
        *(f"train_nar:{wish}" for wish in wishes),
    )
    assert process.wait(400) == 0, (copy / "snakemake.out").read_text()
    training = json.loads((copy / "results/tiny/nar/training.json").read_text())
    assert (training["processes"], training["steps"]) == (2, 6)
    (job,) = jobs_of(slurm, copy)
    assert (job["NumNodes"], gpus_of(job)) == ("2", 1)
