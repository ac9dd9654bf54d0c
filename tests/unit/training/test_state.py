"""What a training goes on from when the code has changed, and what stays of the rest."""

import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from revoice.files import read_json, sha256
from revoice.training import state as state_module
from revoice.training import train as training
from revoice.training.job import Job
from revoice.training.state import (
    DIGITS,
    FORMAT,
    TrainState,
    clean_work,
    locked,
    not_finite,
)
from revoice.training.train import train


class CrashError(Exception):
    pass


@pytest.fixture
def crash(monkeypatch: pytest.MonkeyPatch) -> Callable[[Job, int], None]:
    """Train until something breaks in the middle of a step."""

    def crash(job: Job, after: int) -> None:
        real, left = training.clip_grad_norm_, [after]

        def clip(*args: Any) -> torch.Tensor:
            left[0] -= 1
            if left[0] < 0:
                raise CrashError
            return real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(training, "clip_grad_norm_", clip)
            with pytest.raises(CrashError):
                train(job)

    return crash


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[Job], str]:
    """Train, and give what the log says of where it starts."""
    caplog.set_level("INFO")

    def said(job: Job) -> str:
        caplog.clear()
        train(job)
        return "\n".join(line for line in caplog.messages if not line.startswith("step "))

    return said


def weights(job: Job) -> str:
    return sha256(f"{job.out}.safetensors")


def recorded(job: Job) -> list[dict[str, Any]]:
    return read_json(Path(job.out).parent / "training.json")["code"]


def metrics(job: Job, split: str) -> pd.DataFrame:
    table = pd.read_csv(Path(job.out).parent / "metrics.csv")
    return table[table.split == split].set_index("step")


def states(job: Job, folders: str = "test-ar-*") -> list[str]:
    """Names of the states, without their digests."""
    paths = Path(job.work).glob(f"{folders}/state-*.pt")
    return sorted(f"{path.name.split('.')[0]}.pt" for path in paths)


def test_changed_code_goes_on_from_its_step(
    make_job: Callable[..., Job], crash: Callable[..., None], said: Callable[[Job], str]
) -> None:
    whole, changed = make_job(code="one"), make_job(run="b", code="one")
    train(whole)
    assert recorded(whole) == [{"step": 0, "digest": "one"}]
    crash(changed, 10)
    text = said(replace(changed, code="two"))
    assert "going on from step 8, epoch" in text
    assert "the code has changed: one until step 8, now two" in text
    assert recorded(changed) == [{"step": 0, "digest": "one"}, {"step": 8, "digest": "two"}]
    assert weights(changed) == weights(whole)


def test_code_that_trained_nothing_is_not_recorded(
    make_job: Callable[..., Job], crash: Callable[..., None]
) -> None:
    job = make_job(code="one")
    crash(job, 10)
    crash(replace(job, code="two"), 2)
    train(replace(job, code="three"))
    assert recorded(job) == [{"step": 0, "digest": "one"}, {"step": 8, "digest": "three"}]


def test_finished_by_the_same_code_it_is_taken(
    make_job: Callable[..., Job], said: Callable[[Job], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(code="one")
    train(job)
    expected = weights(job)
    Path(f"{job.out}.safetensors").unlink()
    monkeypatch.setattr(training, "backward", lambda *_: pytest.fail("it trains"))
    assert "going on from step 25" in said(job)
    assert weights(job) == expected


@pytest.mark.parametrize("keep", [1, 2])
def test_finished_by_other_code_it_is_set_aside(
    make_job: Callable[..., Job], said: Callable[[Job], str], keep: int
) -> None:
    job = make_job(code="one", keep=keep)
    train(job)
    before = states(job)
    text = said(replace(job, code="two"))
    assert "trained to the end by other code: one, not two" in text
    assert "starting anew" in text
    assert recorded(job) == [{"step": 0, "digest": "two"}]
    assert states(job) == states(job, "aside-test-ar-*-1") == before
    said(replace(job, code="one"))  # what was set aside stays so
    assert states(job) == states(job, "aside-test-ar-*-2") == before
    assert len(list(Path(job.work).glob("aside-*/metrics.csv"))) == 2


def test_stopped_early_by_other_code_it_is_set_aside(
    make_job: Callable[..., Job], said: Callable[[Job], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*_: Any) -> torch.Tensor:
        return torch.tensor([[10.0, 10, 1, 10]], dtype=torch.float64)

    monkeypatch.setattr(training, "measure", measure)
    job = make_job(code="one", steps=1000, valid_every=3, early_stopping=2)
    assert train(job)["steps"] == 9
    longer = replace(job, train={**job.train, "steps": 2000})
    assert "going on from step 9" in said(longer)
    assert "starting anew" in said(replace(longer, code="two"))


def test_more_epochs_go_on_with_other_code(
    make_job: Callable[..., Job], said: Callable[[Job], str]
) -> None:
    setting: dict[str, Any] = {"schedule": "constant", "valid_every": 1000}
    whole = make_job(epochs=3, **setting)
    train(whole)
    train(make_job(run="b", epochs=2, code="one", **setting))
    longer = make_job(run="b", epochs=3, code="two", **setting)
    assert "going on from step" in said(longer)
    assert [entry["digest"] for entry in recorded(longer)] == ["one", "two"]
    assert not list(Path(longer.work).glob("aside-*"))
    assert weights(longer) == weights(whole)


@pytest.mark.parametrize("part", ["ar", "nar"])
def test_a_lengthened_wsd_is_the_longer_run_to_the_bit(
    make_job: Callable[..., Job], said: Callable[[Job], str], part: str
) -> None:
    """It goes on from where the rate began to decay, whatever `keep` is."""
    setting: dict[str, Any] = {
        "schedule": "wsd",
        "decay_share": 0.35,
        "average": "ema",
        "dropout": 0.1,
    }
    setting |= {"valid_every": 7, "log_every": 2, "checkpoint_every": 4, "warmup_steps": 5}
    whole, short = (make_job(part, r, epochs=n, **setting) for r, n in (("a", 5), ("b", 2)))
    train(whole)
    steps = train(short)["steps"]
    run = f"test-{part}-*"
    stable = int(states(short, run)[0][6:15])
    assert states(short, run) == [f"state-{n:09d}.pt" for n in (stable, steps)]
    assert stable < steps
    assert stable % 4
    rates = metrics(short, "train").learning_rate
    assert (rates.loc[6:stable] == 3e-3).all()
    assert rates.iloc[-1] < 1.5e-3

    middle, longer = (make_job(part, "b", epochs=n, **setting) for n in (3, 5))
    assert f"going on from step {stable}," in said(middle)
    assert states(middle, f"aside-{run}") == [f"state-{steps:09d}.pt"]
    said(longer)
    assert weights(longer) == weights(whole)
    columns = ["epoch", "split", "loss", "top10_accuracy", "learning_rate", "grad_norm"]
    for split in ("train", "dev"):
        mine, theirs = (metrics(job, split)[columns] for job in (longer, whole))
        pd.testing.assert_frame_equal(mine, theirs)
    assert read_json(Path(longer.out).parent / "training.json")["lengthened"] == []


def test_another_decay_starts_from_the_stable_phase(
    make_job: Callable[..., Job], said: Callable[[Job], str], crash: Callable[..., None]
) -> None:
    setting: dict[str, Any] = {"schedule": "wsd", "checkpoint_every": 4}
    late = make_job(run="a", steps=25, decay_share=0.1, **setting)
    train(late)
    crash(make_job(run="b", steps=25, decay_share=0.4, **setting), 18)  # it decays from step 15
    assert states(make_job(run="b")) == ["state-000000015.pt", "state-000000016.pt"]
    again = make_job(run="b", steps=25, decay_share=0.1, **setting)
    assert "going on from step 15," in said(again)
    assert weights(again) == weights(late)


def test_a_jump_of_the_rate_is_told(
    make_job: Callable[..., Job], said: Callable[[Job], str]
) -> None:
    train(make_job(steps=10, schedule="cosine"))
    longer = make_job(steps=20, schedule="cosine")
    assert "10 steps become 20: the cosine's rate jumps from 0.01 of its peak to 0.5" in said(
        longer
    )
    (jump,) = read_json(Path(longer.out).parent / "training.json")["lengthened"]
    assert {**jump, "rate": []} == {"step": 10, "from_steps": 10, "to_steps": 20, "rate": []}
    assert jump["rate"] == pytest.approx([0.01, 0.505])
    assert "jumps" not in said(longer)
    constant = make_job(run="b", steps=10, schedule="constant")
    train(constant)
    assert "jumps" not in said(replace(constant, train={**constant.train, "steps": 20}))


def test_states_of_a_longer_run_are_set_aside(
    make_job: Callable[..., Job], crash: Callable[..., None], said: Callable[[Job], str]
) -> None:
    """Else they would count among those to keep, and a shorter run would keep none of its own."""
    train(make_job(steps=25))
    shorter = make_job(steps=15)
    crash(shorter, 10)
    assert states(shorter) == ["state-000000008.pt"]
    assert states(shorter, "aside-*") == ["state-000000025.pt"]
    assert "going on from step 8" in said(shorter)


def test_a_state_of_another_format_is_refused(make_job: Callable[..., Job]) -> None:
    job = make_job()
    train(job)
    (path,) = Path(job.work).glob("*/state-*.pt")
    torch.save({**torch.load(path, weights_only=True), "format": FORMAT + 1}, path)
    path.rename(path.with_name(f"state-000000025.{sha256(path)[:DIGITS]}.pt"))
    with pytest.raises(ValueError, match=rf"25\.\w+\.pt has format {FORMAT + 1}, .*move"):
        train(job)
    assert states(job) == ["state-000000025.pt"]
    assert (path.parent / "metrics.csv").stat().st_size


def test_the_format_is_in_the_name_of_the_folder_and_code_is_not(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(code="one")
    digest = job.digest(1)
    assert replace(job, code="two").digest(1) == digest
    monkeypatch.setattr("revoice.training.job.FORMAT", FORMAT + 1)
    assert job.digest(1) != digest


@pytest.mark.parametrize("keep", [1, 3])
@pytest.mark.parametrize("harm", ["truncated", "changed", "empty"])
def test_a_broken_state_is_set_aside_and_the_one_before_is_taken(
    make_job: Callable[..., Job],
    crash: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    keep: int,
    harm: str,
) -> None:
    whole, broken = make_job(keep=keep), make_job(run="b", keep=keep)
    train(whole)
    crash(broken, 14)
    *before, newest = sorted(Path(broken.work).glob("*/state-*.pt"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    new = {"truncated": content[:1000], "changed": content, "empty": b""}[harm]
    newest.write_bytes(new)
    caplog.set_level("INFO")
    caplog.clear()
    train(broken)
    (told,) = [line for line in caplog.messages if "broken, by their digests" in line]
    assert newest.name in told
    assert len(before) == keep - 1
    if before:
        assert f"going back to {before[-1].name}" in told
        assert "going on from step 8," in caplog.text
    else:
        assert "none is left: starting anew" in told
    assert states(broken, "aside-*") == ["state-000000012.pt"]
    assert weights(broken) == weights(whole)
    train_rows = metrics(broken, "train").index.tolist()
    assert train_rows == metrics(whole, "train").index.tolist()


def test_what_is_not_finite_is_found() -> None:
    good, bad = torch.ones(3), torch.tensor([1.0, math.nan])
    state = {"model": {"a": good}, "optimizer": {"state": {0: {"exp_avg": good}}}, "step": 1}
    assert not_finite(state) is None
    state["optimizer"] = {"state": {0: {"exp_avg": bad}}}
    assert not_finite(state) == "optimizer.state.0.exp_avg"
    assert not_finite({"rng": [1, [good], bad]}) == "rng[2]"
    assert not_finite({"ids": torch.tensor([2**62])}) is None


def test_a_state_that_is_not_finite_is_never_written(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, job = make_job(), make_job(run="b")
    train(whole)
    real = training.optimize

    def optimize(state: TrainState, where: str) -> bool:
        taken = real(state, where)
        if state.progress.step == 6:
            state.averages.trained["ar_predict_layer.weight"].detach()[3, 3] = math.inf
        return taken

    with monkeypatch.context() as patch:
        patch.setattr(training, "optimize", optimize)
        with pytest.raises(RuntimeError, match=r"ar_predict_layer\S* is not finite.*lower"):
            train(job)
    assert states(job) == ["state-000000004.pt"]
    train(job)
    assert weights(job) == weights(whole)


def test_where_nothing_can_be_locked_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(state_module, "lock", lambda file, **_: "Function not implemented")
    with locked(tmp_path / "run"):
        pass
    assert f"{tmp_path / 'run'}: Function not implemented: files are not locked" in caplog.text


def test_two_runs_of_one_folder_are_told_apart(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(BlockingIOError), locked(tmp_path, wait=False):
        pass


def test_old_states_are_removed_but_not_one_in_use(tmp_path: Path) -> None:
    for name in ("old", "new", "used"):
        (tmp_path / name).mkdir()
        for file in ("lock", "state-000000001.pt"):
            (tmp_path / name / file).touch()
            if name != "new":
                os.utime(tmp_path / name / file, (1, 1))
    with locked(tmp_path / "used"):
        for file in (tmp_path / "used").iterdir():
            os.utime(file, (1, 1))
        assert clean_work(tmp_path, max_age_days=7) == [tmp_path / "old"]
    assert not (tmp_path / "old").exists()
    assert (tmp_path / "new").exists()
