"""Real runs of the workflow, in folders of their own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


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
    ) -> Run: ...


@pytest.fixture(scope="session")
def snakemake() -> Snakemake:
    """Run the workflow of a project in a folder: `snakemake(tmp_path, target, config={...})`.

    `config` becomes the folder's config.yaml; without it the one there is taken. The target
    rule itself is no job, and of a dry run (`-n`) the jobs are those that would start.
    """

    def run(
        directory: Path,
        *arguments: str,
        config: dict[str, Any] | None = None,
        project: Path = ROOT,
        cores: int = 2,
        timeout: float = 600,
        environment: dict[str, str] | None = None,
    ) -> Run:
        if config is not None:
            (directory / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
        record = directory / ".jobs.jsonl"
        record.unlink(missing_ok=True)
        command: list[str | Path] = [sys.executable, "-m", "snakemake", *arguments]
        command += ["--snakefile", project / "Snakefile", "--directory", directory]
        command += ["--configfile", directory / "config.yaml", "--cores", str(cores), "--nocolor"]
        command += ["--logger", "record", "--logger-record-path", record]
        paths = [HERE / "plugins", project, os.environ.get("PYTHONPATH", "")]
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
