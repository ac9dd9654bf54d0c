"""Trainings that are killed, stopped or lengthened, through the workflow: they go on."""

import random
import re
import shutil
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from revoice.files import read_json, sha256
from revoice.training.state import step_of
from tests.helpers import small
from tests.workflow.conftest import Snakemake, set_aside

PARTS = ("ar", "nar")
STEPS = 120
MODELS = [f"results/tiny/{part}/model.safetensors" for part in PARTS]
ONE_THREAD = ["--set-threads", *(f"train_{part}=1" for part in PARTS)]


def configured(**values: Any) -> dict[str, Any]:
    """The small configuration with one setting for both trainings."""
    few = {
        "steps": None,
        "log_every": 1,
        "checkpoint_every": 7,
        "valid_every": 30,
        "dropout": 0.1,
        "keep": 2,
    }
    settings = small.training(**(few | values))
    config = small.config()
    config["experiments"]["tiny"] |= dict.fromkeys(PARTS, settings)
    return config


@pytest.fixture(scope="module")
def snakemake(snakemake: Snakemake, project: Path) -> Snakemake:
    """The workflow of the project's copy."""
    return partial(snakemake, project=project)


@pytest.fixture(scope="module")
def trained(spoken: Path, snakemake: Snakemake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which both parts were trained without a break."""
    folder = tmp_path_factory.mktemp("whole")
    small.write_corpus(spoken, folder / "audio")
    config = configured(steps=STEPS)
    snakemake(folder, *MODELS, *ONE_THREAD, config=config, timeout=1800).succeeded()
    return folder


@pytest.fixture(scope="module")
def expected(trained: Path) -> dict[str, str]:
    """SHA-256 of the weights that came of it."""
    return {model: sha256(trained / model) for model in MODELS}


@pytest.fixture
def untrained(trained: Path, expected: dict[str, str]) -> Iterator[Path]:
    """A copy of that folder, in its place, in which nothing has been trained yet."""
    with set_aside(trained):
        shutil.rmtree(trained / "work")
        for part in PARTS:
            shutil.rmtree(trained / f"results/tiny/{part}")
        yield trained


def steps(folder: Path, part: str) -> int:
    """The last step that the training has written down."""
    lines = [
        line.split(",")
        for path in folder.glob(f"work/tiny-{part}-*/metrics.csv")
        for line in path.read_text("utf-8").split("\n")[1:-1]
    ]
    return max((int(line[0]) for line in lines), default=0)


def log_of(folder: Path, part: str) -> str:
    path = folder / f"logs/train_{part}/tiny.log"
    return path.read_text("utf-8") if path.exists() else ""


def trainings(folder: Path, part: str) -> Iterator[psutil.Process]:
    """The processes that train a part: Snakemake's script, not the shell around it.

    The script is the same for both parts; each writes to a log of its own.
    """
    own = str(folder / f"logs/train_{part}/tiny.log")
    for process in psutil.Process().children(recursive=True):
        try:
            command, files = process.cmdline(), process.open_files()
        except psutil.Error:
            continue
        if command and command[-1].endswith("train.py") and own in (file.path for file in files):
            yield process


class Stopper:
    """Says when each part has reached its step; a part that is there first waits for the other."""

    def __init__(self, folder: Path, goals: dict[str, int]) -> None:
        self.folder, self.goals, self.stopped = folder, goals, dict[str, int]()

    def __call__(self) -> bool:
        for part, goal in self.goals.items():
            if part in self.stopped or steps(self.folder, part) < goal:
                continue
            for process in trainings(self.folder, part):
                process.suspend()
                self.stopped[part] = steps(self.folder, part)
        return len(self.stopped) == len(self.goals)


def test_killed_three_times_it_ends_in_the_same_weights(
    untrained: Path, expected: dict[str, str], snakemake: Snakemake
) -> None:
    """Snakemake and all of its processes, with SIGKILL, while both parts are trained."""
    rng = random.Random(4)
    reached = dict.fromkeys(PARTS, 0)
    saved: dict[str, int] = {}
    for _ in range(3):
        stop = Stopper(untrained, {p: reached[p] + rng.randrange(10, 25) for p in PARTS})
        run = snakemake(untrained, *MODELS, *ONE_THREAD, kill_when=stop, timeout=900)
        assert run.returncode == -signal.SIGKILL, run.output
        assert run.jobs == ["train_ar tiny", "train_nar tiny"]
        for part in PARTS:
            if part in saved:
                assert f"going on from step {saved[part]}," in log_of(untrained, part)
            states = untrained.glob(f"work/tiny-{part}-*/state-*.pt")
            saved[part] = max(map(step_of, states))
        reached = stop.stopped
        assert max(reached.values()) < STEPS
        assert not any((untrained / model).exists() for model in MODELS)
    run = snakemake(untrained, *MODELS, *ONE_THREAD, timeout=900).succeeded()
    assert run.jobs == ["train_ar tiny", "train_nar tiny"]
    for part, model in zip(PARTS, MODELS, strict=True):
        assert f"going on from step {saved[part]}," in log_of(untrained, part)
        assert sha256(untrained / model) == expected[model]
        training = read_json(untrained / f"results/tiny/{part}/training.json")
        assert training["steps"] == STEPS


def test_terminated_it_saves_and_more_epochs_go_on(untrained: Path, snakemake: Snakemake) -> None:
    """SIGTERM to Snakemake and its processes, as at a shutdown; then the same; then longer."""
    model, part = MODELS[0], PARTS[0]
    sent = False

    def terminate() -> bool:
        nonlocal sent
        if not sent and steps(untrained, part) > 12:
            sent = True
            for process in psutil.Process().children(recursive=True):
                process.terminate()
        return False

    config = configured(epochs=4, schedule="constant", batch_seconds=2)
    run = snakemake(untrained, model, *ONE_THREAD, config=config, kill_when=terminate, timeout=900)
    assert sent
    assert run.returncode != 0
    assert not (untrained / model).exists()
    for process in trainings(untrained, part):
        process.wait(60)
    interrupted = re.search(r"interrupted: step (\d+) is saved", log_of(untrained, part))
    assert interrupted, log_of(untrained, part)

    snakemake(untrained, model, *ONE_THREAD, timeout=900).succeeded()
    assert f"going on from step {interrupted[1]}," in log_of(untrained, part)
    first = read_json(untrained / f"results/tiny/{part}/training.json")
    assert first["epochs"] == 4

    config = configured(epochs=6, schedule="constant", batch_seconds=2)
    run = snakemake(untrained, model, *ONE_THREAD, config=config, timeout=900).succeeded()
    assert run.jobs == [f"train_{part} tiny"]
    assert f"going on from step {first['steps']}, epoch 4" in log_of(untrained, part)
    second = read_json(untrained / f"results/tiny/{part}/training.json")
    assert second["epochs"] == 6
    assert second["steps"] == pytest.approx(first["steps"] * 6 / 4, rel=0.05)  # epochs differ
