"""Fixtures that all tests share."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference numbers and recordings, beside the project."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the reference numbers and recordings in ../shared")
    return folder


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several processes, one takes what shares a long run; the longest start first."""
    for item in items:
        folder, name = item.path.parent.name, item.path.stem
        if folder == "slurm":
            group = "slurm"
        elif name in {"test_pipeline", "test_reruns", "test_report"}:
            group = "finished"
        else:
            group = name
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: item.path.parent.name not in {"slurm", "workflow"})
