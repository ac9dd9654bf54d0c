"""Fixtures that all tests share."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parent.parent
SLOW = [
    ROOT / "tests" / room
    for room in ("slurm", "workflow", "unit/training", "unit/evaluation", "unit/recordings")
]
SHARING_A_CLUSTER = "tests/slurm/"
READERS = ("pipeline", "report", "reruns", "scores", "speaking")  # of the finished run
SHARING_A_RUN = {f"tests/workflow/test_{name}.py" for name in READERS}


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference numbers, beside the project."""
    folder = ROOT.parent / "shared"
    if not (folder / "parity").is_dir():
        pytest.skip("needs the reference numbers in ../shared/parity")
    return folder


@pytest.fixture(scope="session")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People speaking, in the folder beside the project; without it, eSpeak NG in their place.

    Both have the same files, with the same texts. Where the environment variable
    REVOICE_MADE_SPEECH is set, eSpeak NG speaks in any case.
    """
    folder = ROOT.parent / "shared" / "speech"
    if folder.is_dir() and not os.environ.get("REVOICE_MADE_SPEECH"):
        return folder
    made = tmp_path_factory.mktemp("speech")
    subprocess.run([sys.executable, "-m", "tests.helpers.speech", made], cwd=ROOT, check=True)
    return made


def taken_together(nodeid: str) -> str:
    """What the tests have in common that one process takes: a file, a run or the cluster."""
    path = nodeid.partition("::")[0]
    if "REVOICE_KILLS" in os.environ:  # many that take long, and share little
        return nodeid
    if path.startswith(SHARING_A_CLUSTER):
        return SHARING_A_CLUSTER
    return "finished" if path in SHARING_A_RUN else path


class TogetherScheduling(LoadScopeScheduling):
    """With several processes, one takes all tests of a file, and of files that share a long run."""

    def _split_scope(self, nodeid: str) -> str:
        return taken_together(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> TogetherScheduling:
    return TogetherScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest starts first."""
    rank = {folder: number for number, folder in enumerate(SLOW)}
    items.sort(key=lambda item: rank.get(item.path.parent, len(rank)))
