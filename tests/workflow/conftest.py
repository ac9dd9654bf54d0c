"""Real runs of the workflow, in folders of their own."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psutil
import pytest
import yaml

from revoice.config import CorpusConfig
from revoice.corpus.index import assign_shards, scan
from tests.conftest import ROOT
from tests.helpers import small

PLUGINS = ROOT / "tests" / "helpers" / "plugins"


@dataclass
class Run:
    """What a run of Snakemake did."""

    returncode: int
    output: str  # standard output and error
    jobs: list[str] = field(default_factory=list)  # started: "resample mine/s01", sorted

    @property
    def rules(self) -> list[str]:
        """The rules of which a job was started, sorted, each once."""
        return sorted({job.split()[0] for job in self.jobs})

    def succeeded(self) -> "Run":
        """The run itself; an AssertionError with all that it printed if it failed."""
        assert self.returncode == 0, self.output
        return self


class Snakemake(Protocol):
    def __call__(
        self,
        directory: Path,
        *arguments: str,
        config: dict[str, Any] | None = None,
        project: Path = ROOT,
        cores: int = 2,
        timeout: float = 600,
        environment: dict[str, str] | None = None,
        kill_when: Callable[[], bool] | None = None,
    ) -> Run: ...


@pytest.fixture(scope="session")
def snakemake() -> Snakemake:
    """Run the workflow of a project in a folder: `snakemake(tmp_path, target, config={...})`.

    `config` becomes the folder's config.yaml; without it the one there is taken. The target
    rule itself is no job, and of a dry run (`-n`) the jobs are those that would start.
    `kill_when` is asked again and again; when it says so, SIGKILL ends Snakemake and its jobs.
    """

    def run(
        directory: Path,
        *arguments: str,
        config: dict[str, Any] | None = None,
        project: Path = ROOT,
        cores: int = 2,
        timeout: float = 600,
        environment: dict[str, str] | None = None,
        kill_when: Callable[[], bool] | None = None,
    ) -> Run:
        if config is not None:
            (directory / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
        record = directory / ".jobs.jsonl"
        record.unlink(missing_ok=True)
        command: list[str | Path] = [sys.executable, "-m", "snakemake", *arguments]
        command += ["--snakefile", project / "Snakefile", "--directory", directory]
        command += ["--configfile", directory / "config.yaml", "--cores", str(cores), "--nocolor"]
        command += ["--logger", "record", "--logger-record-path", record]
        paths = [PLUGINS, project, os.environ.get("PYTHONPATH", "")]
        with subprocess.Popen(
            list(map(str, command)),
            cwd=directory,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": os.pathsep.join(str(path) for path in paths if str(path)),
                **(environment or {}),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            if kill_when:
                kill_tree(process, kill_when, timeout)
            try:
                output, _ = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.terminate()
                output, _ = process.communicate()
                pytest.fail(f"Snakemake took more than {timeout} s:\n{output}")
        jobs = []
        for line in record.read_text("utf-8").splitlines() if record.exists() else []:
            job = json.loads(line)
            if job["process"] == process.pid and job["rule"] != "all":
                jobs.append(f"{job['rule']} {'/'.join(job['wildcards'].values())}".strip())
        return Run(process.returncode, output, sorted(jobs))

    return run


def kill_tree(process: subprocess.Popen[str], when: Callable[[], bool], timeout: float) -> None:
    """Kill a process and all that it started, as a power cut would, once `when` says so."""
    deadline = time.monotonic() + timeout
    while process.poll() is None and not when() and time.monotonic() < deadline:
        time.sleep(0.02)
    with suppress(psutil.NoSuchProcess):
        started = psutil.Process(process.pid)
        # Snakemake first: it must not see that a job has died, and tidy up
        for each in [started, *started.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                each.kill()


@dataclass(frozen=True)
class Finished:
    """A project that is a copy of this one, and a folder in which it ran to its end."""

    project: Path  # Snakefile, rules, library
    folder: Path  # configuration, recordings, results
    run: Run


PROJECT = "Snakefile rules scripts revoice resources report envs profiles".split()


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this project: an edit of the original while the tests run changes no result."""
    return copy_project(tmp_path_factory.mktemp("project"))


def copy_project(folder: Path) -> Path:
    """Copy what the workflow needs into a folder."""
    folder.mkdir(exist_ok=True)
    parts = [ROOT / name for name in PROJECT if (ROOT / name).exists()]
    subprocess.run(["cp", "-a", *parts, folder], check=True)
    return folder


@pytest.fixture(scope="session")
def finished(
    spoken: Path, snakemake: Snakemake, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    """The whole workflow, run once: two experiments on one corpus of about ten shards."""
    base = tmp_path_factory.mktemp("finished")
    project, folder = copy_project(base / "project"), base / "folder"
    small.write_corpus(spoken, folder / "audio")
    config = small.config(audio={"shard_minutes": minutes_for_shards(folder / "audio", 10)})
    other = {"ar": small.training(lr=5e-4), "nar": small.training(lr=5e-4)}
    config["experiments"]["other"] = small.config()["experiments"]["tiny"] | other
    run = snakemake(folder, *small.ONE_THREAD, config=config, project=project, timeout=3000)
    return Finished(project, folder, run.succeeded())


def minutes_for_shards(audio: Path, number: int) -> float:
    """How long shards may be so that the corpus has `number` of them, or a few more."""
    files, _ = scan(CorpusConfig(kind="folder", path=str(audio)))
    seconds = sum(file.seconds for file in files)
    while len(assign_shards(files, seconds)) < number:
        seconds *= 0.95
    return round(seconds / 60, 4)


@pytest.fixture
def restored(finished: Finished) -> Iterator[Finished]:
    """The same, to change: afterwards all is as it was, every file's time too."""
    with set_aside(finished.folder.parent):
        yield finished


@contextmanager
def set_aside(folder: Path) -> Iterator[None]:
    """Put a copy in the place of a folder, and at the end the folder back.

    In its place, since Snakemake knows files of the project by their way from the folder.
    """
    aside = folder.with_name(f"{folder.name}-aside")
    folder.rename(aside)
    subprocess.run(["cp", "-a", aside, folder], check=True)
    try:
        yield
    finally:
        shutil.rmtree(folder)
        aside.rename(folder)
