"""Fixtures that all tests share."""

from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parent.parent
SLOW = {ROOT / "tests" / room for room in ("slurm", "workflow")}
SHARING_A_RUN = {"test_pipeline", "test_report", "test_reruns"}


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference numbers and recordings, beside the project."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the reference numbers and recordings in ../shared")
    return folder


class TogetherScheduling(LoadScopeScheduling):
    """With several processes, one takes all tests of a file, and of files that share a long run."""

    def _split_scope(self, nodeid: str) -> str:
        path = Path(nodeid.partition("::")[0])
        if path.parent.name == "slurm":
            return "slurm"
        return "finished" if path.stem in SHARING_A_RUN else path.as_posix()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> TogetherScheduling:
    return TogetherScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest starts first."""
    items.sort(key=lambda item: item.path.parent not in SLOW)
