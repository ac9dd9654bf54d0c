"""Jobs on made-up cuts, which tests of training share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from revoice.training.examples import digest_cuts
from revoice.training.job import Job
from tests.helpers.synthetic import MODEL, write_cuts

TRAIN = {"lr": 3e-3, "batch_seconds": 3, "log_every": 5, "valid_every": 10, "checkpoint_every": 4}
TRAIN |= {"precision": "fp32"}


@pytest.fixture(scope="module")
def cuts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("cuts")
    return {
        "train_cuts": write_cuts(folder / "train", 40),
        "dev_cuts": write_cuts(folder / "dev", 5, seed=1),
    }


@pytest.fixture
def make_job(cuts: dict[str, str], tmp_path: Path) -> Callable[..., Job]:
    """A job of the test; `run` tells apart those that shall not share their state."""

    def make(part: Any = "ar", run: str = "a", **changes: Any) -> Job:
        fields = {key: changes.pop(key) for key in list(changes) if key in Job.__annotations__}
        settings = {**TRAIN, "steps": 25, **changes}
        if "epochs" in settings:
            settings.pop("steps")
        start: dict[str, Any] = {} if "init" in fields else {"model": MODEL}
        folders = {
            "work": str(tmp_path / run / "work"),
            "out": str(tmp_path / run / part / "model"),
        }
        fields = {**cuts, **start, **fields}
        given = {split: Path(fields[f"{split}_cuts"]) for split in ("train", "dev")}
        digests = {split: digest_cuts(path) for split, path in given.items() if path.exists()}
        return Job(name="test", part=part, train=settings, data=digests, **folders, **fields)

    return make
