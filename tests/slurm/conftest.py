"""A real SLURM for the tests of this folder, and Snakemake on it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import cluster, missing_programs

ROOT = Path(__file__).resolve().parents[2]
PROFILE = ROOT / "profiles" / "slurm"

Environment = dict[str, str]
Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="session")
def slurm() -> Iterator[Environment]:
    """The environment of a running cluster of two nodes; skips, or in CI fails, without SLURM."""
    missing = missing_programs()
    if missing:
        reason = f"needs {', '.join(missing)}: apt-get install slurm-wlm munge"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: it holds a Unix socket
    try:
        with cluster(folder, nodes=2) as environment:
            yield environment
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def snakemake(slurm: Environment, tmp_path: Path) -> Iterator[Run]:
    """Start Snakemake with the profile in `tmp_path`; its output goes to `snakemake.out` there.

    Statuses are asked of squeue, soon and often: this cluster keeps no accounts.
    """
    running: list[subprocess.Popen[str]] = []

    def run(*arguments: str, profile: Path = PROFILE) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "snakemake", "--workflow-profile", str(profile)]
        command += ["--slurm-status-command", "squeue", "--slurm-no-account"]
        command += ["--slurm-init-seconds-before-status-checks", "2", *arguments]
        environment = slurm | {"OMP_NUM_THREADS": "1"}
        with open(tmp_path / "snakemake.out", "a") as log:
            process = subprocess.Popen(
                command, cwd=tmp_path, env=environment, text=True, stdout=log, stderr=log
            )
        running.append(process)
        return process

    yield run
    for process in running:
        if process.poll() is None:
            process.terminate()
            process.wait(60)
