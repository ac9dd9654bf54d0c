"""Which card a job takes."""

import logging
import os

import pytest
import torch

from revoice import devices
from revoice.devices import claim_gpus


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike) -> None:
    """A machine with three cards, none of them claimed."""
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(devices, "_claimed", [])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.mark.usefixtures("cards")
def test_jobs_take_cards_of_their_own(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    claim_gpus(1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # another job
    claim_gpus(2)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1,2"


@pytest.mark.usefixtures("cards")
def test_a_job_waits_for_cards(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def another_job_ends(seconds: float) -> None:
        devices._claimed.pop(0).close()

    monkeypatch.setattr(devices.time, "sleep", another_job_ends)
    for _ in range(3):
        claim_gpus(1)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with caplog.at_level(logging.INFO):
        claim_gpus(2)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert [record.message for record in caplog.records] == [
        "0 of 3 cards are free, not 2: waiting for other jobs to end",
        "waited: going on with 0, 1",
    ]


@pytest.mark.usefixtures("cards")
def test_the_only_card_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    claim_gpus(1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    assert len(devices._claimed) == 1


@pytest.mark.usefixtures("cards")
@pytest.mark.parametrize(("visible", "count"), [("1", 1), ("1,2", 2), ("", 0), ("", 4)])
def test_what_was_given_is_taken(monkeypatch: pytest.MonkeyPatch, visible: str, count: int) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    claim_gpus(count)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == visible
    assert not devices._claimed


@pytest.mark.parametrize(
    ("cuda", "mps", "best"),
    [(True, False, "cuda"), (True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_the_best_device(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, best: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert devices.best_device() == best
