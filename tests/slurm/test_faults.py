"""Trainings whose jobs are lost, requeued or cancelled: they go on, and end in the same weights."""

import json
import re
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from revoice.files import sha256
from revoice.training.state import step_of
from tests.conftest import ROOT
from tests.helpers import small
from tests.helpers.cluster import Environment, Run, jobs_of
from tests.slurm.conftest import wait_until

FATES = ("lost", "requeued", "cancelled")
STEPS = 300
HALT = 30  # the step at which the fault comes, or soon after
FILES = ["--configfile", "config.json", "--snakefile", str(ROOT / "Snakefile")]


def model(experiment: str) -> str:
    return f"results/{experiment}/ar/model.safetensors"


def last_state(folder: Path, experiment: str) -> int:
    """The step of the newest state."""
    return max(map(step_of, folder.glob(f"work/{experiment}-ar-*/state-*.pt")), default=0)


@pytest.fixture(scope="module")
def prepared(spoken: Path, snakemake: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a training that nobody disturbed, `whole`, and the cuts of three like it.

    This machine has computed all that without SLURM.
    """
    folder = tmp_path_factory.mktemp("faults")
    small.write_ten_digits(spoken, folder)
    config = small.config(split={"dev": 0.2, "test": 0.2, "seed": 1})
    settings = {"steps": STEPS, "log_every": 1, "checkpoint_every": 7, "valid_every": 100}
    tiny = config["experiments"]["tiny"] | {"ar": small.training(**settings)}
    config["experiments"] = dict.fromkeys(["whole", *FATES], tiny)
    (folder / "config.json").write_text(json.dumps(config))
    cuts = [f"results/{fate}/cuts/excluded.csv" for fate in FATES]
    local = ["--executor", "local", "--cores", "2"]
    process = snakemake(folder, model("whole"), *cuts, *FILES, *local)
    assert process.wait(1800) == 0, (folder / "snakemake.out").read_text()
    return folder


def experiment_of(job: dict[str, str]) -> str:
    return job["Comment"].removeprefix("rule_train_ar_wildcards_")


def training_of(folder: Path, experiment: str) -> psutil.Process | None:
    """The process that trains it, which alone of those in this folder writes to its log."""
    log = str(folder / f"logs/train_ar/{experiment}.log")
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            command = process.cmdline()
            ours = command and re.fullmatch(rf"{folder}/\.snakemake/.*train\.py", command[-1])
            if ours and log in (file.path for file in process.open_files()):
                return process
    return None


def kill_job(slurm: Environment, job: dict[str, str], training: psutil.Process) -> None:
    """Kill what serves a job on its node and all that it has started, so that no one tells of it.

    Those are a slurmstepd for its script, and one for the step in which it trains.
    """
    spool = Path(slurm["SLURM_CONF"]).parent / f"spool-{job['NodeList']}"
    script = str(spool / f"job{int(job['JobId']):05}/slurm_script")
    batch = [p for p in psutil.process_iter(["cmdline"]) if script in (p.info["cmdline"] or [])]
    above = {parent for each in (training, *batch) for parent in each.parents()}
    serving = [each for each in above if each.name() == "slurmstepd"]
    assert len(serving) == 2
    for stepd in serving:
        for each in (stepd, *stepd.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                each.kill()


class Faults:
    """Stops trainings on their way, and does to the job of each what its name says."""

    def __init__(self, slurm: Environment, folder: Path) -> None:
        self.slurm, self.folder = slurm, folder
        self.stopped: dict[str, psutil.Process] = {}

    def jobs(self) -> dict[str, dict[str, str]]:
        """The newest job of each experiment."""
        return {experiment_of(job): job for job in jobs_of(self.slurm, self.folder)}

    def ask(self, command: str, check: bool = True) -> None:
        subprocess.run(command.split(), env=self.slurm, check=check, timeout=60)

    def all_stopped(self) -> bool:
        """Stop each where its fault is to come, and meanwhile let the others go on."""
        for name in set(FATES) - set(self.stopped):
            steps = re.findall(rf" step (\d+)/{STEPS}", small.ar_log(self.folder, name))
            if steps and int(steps[-1]) >= HALT and (found := training_of(self.folder, name)):
                found.suspend()
                self.stopped[name] = found
        return len(self.stopped) == len(FATES)

    def off_their_nodes(self) -> bool:
        states = {name: job["JobState"] for name, job in self.jobs().items()}
        return (states["requeued"], states["cancelled"]) == ("PENDING", "CANCELLED")

    def happen(self, process: subprocess.Popen[str]) -> None:
        wait_until(self.all_stopped, process, self.folder)
        jobs = self.jobs()
        lost, again, cancelled = (jobs[name]["JobId"] for name in FATES)
        self.ask(f"scontrol requeue {again}")
        self.ask(f"scancel {cancelled}")
        wait_until(self.off_their_nodes, process, self.folder)
        # where a site's jobs are not requeued; else SLURM does with this one as with the other
        self.ask(f"scontrol update JobId={lost} Requeue=0")
        kill_job(self.slurm, jobs["lost"], self.stopped["lost"])
        node = jobs["lost"]["NodeList"]
        update = f"scontrol update NodeName={node} Reason=lost State="
        self.ask(f"{update}DOWN")  # what slurmctld says itself of a node that is silent
        self.ask(f"{update}RESUME", check=False)  # refused where it has registered by then
        self.ask(f"scontrol update JobId={again} StartTime=now")  # not two minutes later


@dataclass
class Disturbed:
    """What Snakemake said while faults came, and where each training was saved at its end."""

    folder: Path
    jobs: dict[str, dict[str, str]]
    said: str
    saved: dict[str, int]  # steps


@pytest.fixture(scope="module")
def disturbed(slurm: Environment, snakemake: Run, prepared: Path) -> Disturbed:
    """Three trainings side by side, a fault midway in each; then the same command again."""
    out, faults = prepared / "snakemake.out", Faults(slurm, prepared)
    command = (*map(model, FATES), *FILES, "--rerun-triggers", "mtime", "--retries", "0")
    out.unlink()
    process = snakemake(prepared, *command)
    faults.happen(process)
    assert process.wait(1800) == 1, out.read_text()
    saved = {name: last_state(prepared, name) for name in FATES}
    result = Disturbed(prepared, faults.jobs(), out.read_text(), saved)
    assert snakemake(prepared, *command).wait(1800) == 0, out.read_text()
    return result


def check_weights(disturbed: Disturbed, experiment: str, step: int | None = None) -> None:
    """They are those that nothing has disturbed, and the training went on from a state."""
    folder = disturbed.folder
    match = re.search(r"going on from step (\d+),", small.ar_log(folder, experiment))
    assert match
    assert int(match[1]) == step if step else HALT <= int(match[1]) < STEPS
    assert sha256(folder / model(experiment)) == sha256(folder / model("whole"))


def test_a_lost_node(disturbed: Disturbed) -> None:
    """Snakemake says so, and the same command goes on from the last regular state."""
    job = disturbed.jobs["lost"]
    assert job["JobState"] == "NODE_FAIL"
    assert f"SLURM-job '{job['JobId']}' failed due to a node failure" in disturbed.said
    assert 0 < disturbed.saved["lost"] < STEPS
    check_weights(disturbed, "lost", disturbed.saved["lost"])


def test_a_requeued_job(disturbed: Disturbed) -> None:
    """The same job goes on; Snakemake waits for it, and need not know."""
    job = disturbed.jobs["requeued"]
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1")
    assert f"SLURM-job '{job['JobId']}' failed" not in disturbed.said
    check_weights(disturbed, "requeued")


def test_a_cancelled_job(disturbed: Disturbed) -> None:
    """It saves, Snakemake says that it was cancelled, and the same command goes on."""
    job = disturbed.jobs["cancelled"]
    said = f"SLURM-job '{job['JobId']}' failed, SLURM status is: 'CANCELLED'"
    assert said in disturbed.said
    assert HALT <= disturbed.saved["cancelled"] < STEPS
    check_weights(disturbed, "cancelled", disturbed.saved["cancelled"])


def test_what_is_done_again(disturbed: Disturbed, slurm: Environment) -> None:
    """By the second command: what had failed, and that alone."""
    jobs = sorted(experiment_of(job) for job in jobs_of(slurm, disturbed.folder))
    assert jobs == ["cancelled", "cancelled", "lost", "lost", "requeued"]
