"""A real SLURM for the tests of this folder, and Snakemake on it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.helpers.cluster import Environment, Run, cluster, missing_programs, stop

PROFILE = ROOT / "profiles" / "slurm"


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def snakemake(slurm: Environment) -> Iterator[Run]:
    """Start Snakemake with the profile in a folder; its output goes to `snakemake.out` there.

    Statuses are asked of squeue, soon and often: this cluster keeps no accounts.
    """
    running: list[subprocess.Popen[str]] = []

    def run(folder: Path, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "snakemake", "--workflow-profile", str(PROFILE)]
        command += ["--slurm-status-command", "squeue", "--slurm-no-account"]
        command += ["--slurm-init-seconds-before-status-checks", "2"]
        command += [*arguments, "--set-threads", "train_ar=1", "train_nar=1"]
        environment = slurm | {"OMP_NUM_THREADS": "1"}
        with open(folder / "snakemake.out", "a") as log:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                text=True,
                stdout=log,
                stderr=log,
                # tests in several processes do not heed SIGINT, nor would what they start
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            )
        running.append(process)
        return process

    yield run
    for process in running:
        stop(process)


def wait_until(condition: Callable[[], Any], process: subprocess.Popen[str], folder: Path) -> Any:
    """What the condition gives when it gives something; fails when Snakemake ends before."""
    deadline = time.monotonic() + 900
    while not (result := condition()):
        said = (folder / "snakemake.out").read_text()
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.3)
    return result
