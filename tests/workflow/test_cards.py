"""Two trainings and one card, which is pretended: what is trained is computed on the CPU."""

import os
import re
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path

import psutil
import pytest

from revoice.files import read_json, sha256
from tests.helpers import small
from tests.workflow.conftest import Snakemake, copy_project

EXPERIMENTS = ("tiny", "other")
CUTS = [f"results/{name}/cuts/excluded.csv" for name in EXPERIMENTS]
MODELS = [f"results/{name}/ar/model.safetensors" for name in EXPERIMENTS]
WAITS = "0 of 1 cards are free, not 1: waiting for other jobs to end"


@pytest.fixture(scope="module")
def snakemake(snakemake: Snakemake, tmp_path_factory: pytest.TempPathFactory) -> Snakemake:
    """The workflow on a machine that has one card, or thinks so."""
    base = tmp_path_factory.mktemp("machine")
    project = copy_project(base / "project")
    devices = project / "revoice/devices.py"
    counted = devices.read_text("utf-8").replace("torch.cuda.device_count()", "1")
    assert counted != devices.read_text("utf-8")
    devices.write_text(counted, "utf-8")
    for folder in ("bin", "tmp"):  # claims of cards lie in the latter
        (base / folder).mkdir()
    (base / "bin/nvidia-smi").touch(0o755)
    path = os.pathsep.join([str(base / "bin"), os.environ["PATH"]])
    environment = {"PATH": path, "TMPDIR": str(base / "tmp"), "CUDA_VISIBLE_DEVICES": ""}
    return partial(snakemake, project=project, environment=environment)


@pytest.fixture(scope="module")
def prepared(spoken: Path, snakemake: Snakemake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the cuts of two experiments that are equal, but for their names."""
    folder = tmp_path_factory.mktemp("prepared")
    small.write_ten_digits(spoken, folder)
    config = small.config(split={"dev": 0.2, "test": 0.2, "seed": 1})
    settings = small.training(steps=60, log_every=1, checkpoint_every=7, valid_every=30)
    config["experiments"]["tiny"]["ar"] = settings
    config["experiments"]["other"] = config["experiments"]["tiny"]
    snakemake(folder, *CUTS, *small.ONE_THREAD, config=config, timeout=3000).succeeded()
    return folder


@pytest.fixture
def folders(prepared: Path, tmp_path: Path) -> list[Path]:
    """Two copies of that folder."""
    return [shutil.copytree(prepared, tmp_path / name) for name in ("first", "second")]


def training_in(folder: Path) -> psutil.Process | None:
    """The process that trains there."""
    for process in psutil.Process().children(recursive=True):
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if command and command[-1].startswith(str(folder)) and command[-1].endswith("train.py"):
            return process
    return None


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 900
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("fate", ["ends", "is killed"])
def test_a_training_waits_for_one_of_another_folder(
    folders: list[Path], snakemake: Snakemake, fate: str
) -> None:
    """Until that ends, or is killed while it holds the card; then it goes on from its state."""
    first, second = folders
    train = partial(snakemake, timeout=3000)
    arguments = [MODELS[0], *small.ONE_THREAD, "--rerun-triggers", "mtime"]
    killed = False
    with ThreadPoolExecutor() as pool:
        one = pool.submit(train, first, *arguments, kill_when=lambda: killed)
        until(lambda: one.done() or " step 10/60" in small.ar_log(first, "tiny"))
        holder = training_in(first)
        assert holder, one.result().output
        holder.suspend()
        two = pool.submit(train, second, *arguments)
        until(lambda: two.done() or WAITS in small.ar_log(second, "tiny"))
        time.sleep(3)  # longer than it waits between two looks at the card
        assert not two.done()
        assert not list(second.glob("work/*")), "it has not begun"
        killed = fate == "is killed"
        if not killed:
            holder.resume()
        assert one.result().returncode == (-9 if killed else 0)
        two.result().succeeded()
    assert "waited: going on with 0" in small.ar_log(second, "tiny")
    if killed:
        assert not (first / MODELS[0]).exists()
        train(first, *arguments).succeeded()
        match = re.search(r"going on from step (\d+),", small.ar_log(first, "tiny"))
        assert match
        assert 7 <= int(match[1]) < 60
        assert WAITS not in small.ar_log(first, "tiny"), "nobody has the card now"
    assert sha256(first / MODELS[0]) == sha256(second / MODELS[0])
    assert read_json(second / "results/tiny/ar/training.json")["device"] == "cpu"


def test_experiments_of_one_folder_take_turns(folders: list[Path], snakemake: Snakemake) -> None:
    """Snakemake starts the second when the first has ended: there is nothing to wait for."""
    folder = folders[0]
    run = snakemake(folder, *MODELS, *small.ONE_THREAD, "--rerun-triggers", "mtime").succeeded()
    assert run.jobs == ["train_ar other", "train_ar tiny"]
    times = []
    for name in EXPERIMENTS:
        lines = [line for line in small.ar_log(folder, name).splitlines() if line.startswith("20")]
        assert "waiting" not in "\n".join(lines)
        stamps = [datetime.fromisoformat(line[:23].replace(",", ".")) for line in lines]
        times.append((stamps[0], stamps[-1]))
    (_, end), (begin, _) = sorted(times)
    assert end <= begin
    assert sha256(folder / MODELS[0]) == sha256(folder / MODELS[1])
