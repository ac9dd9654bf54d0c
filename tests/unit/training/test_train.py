"""The training loop: it learns, it goes on where it was, one process or many."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from lhotse import CutSet
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn.functional import mse_loss

from revoice.config_training import LoraConfig, TrainConfig
from revoice.evaluation.evaluate import draw_cuts, evaluate
from revoice.files import read_json, sha256
from revoice.model import PARTS
from revoice.model.checkpoint import load_part, save_model
from revoice.model.finetune import add_lora, freeze, merge_lora
from revoice.model.valle import ModelConfig
from revoice.training import launch, setup
from revoice.training import metrics as training_metrics
from revoice.training import train as training
from revoice.training.data import CodesDataset
from revoice.training.job import Job
from revoice.training.launch import run
from revoice.training.metrics import COLUMNS
from revoice.training.objective import batch_loss
from revoice.training.optim import average_rate, make_optimizer
from revoice.training.setup import check_memory
from revoice.training.train import INTERRUPTED, train
from tests.helpers.synthetic import MODEL, write_cuts

PLACED = {**MODEL, "text_positions": "frames"}


def weights(job: Job) -> str:
    return sha256(f"{job.out}.safetensors")


def metrics(job: Job, split: str) -> pd.DataFrame:
    table = pd.read_csv(Path(job.out).parent / "metrics.csv")
    return table[table.split == split].set_index("step")


def crash_after(monkeypatch: pytest.MonkeyPatch, calls: int, act: Callable[[], None]) -> None:
    """Let something happen in the middle of the step after `calls` further ones."""
    real, left = training.clip_grad_norm_, [calls]

    def clip(*args: Any) -> torch.Tensor:
        left[0] -= 1
        if left[0] == -1:
            act()
        return real(*args)

    monkeypatch.setattr(training, "clip_grad_norm_", clip)


class CrashError(Exception):
    pass


def crash() -> None:
    raise CrashError


@pytest.mark.parametrize("part", ["ar", "nar"])
def test_learns_a_small_set_by_heart(
    make_job: Callable[..., Job], tmp_path: Path, part: str
) -> None:
    steps = {"ar": 200, "nar": 400}[part]
    few = write_cuts(tmp_path / "few", 12)
    rarely = {"valid_every": 50, "log_every": 50, "checkpoint_every": 1000}
    job = make_job(part, steps=steps, batch_seconds=20, lr=1e-2, **rarely)
    job = replace(job, train_cuts=few, dev_cuts=few)
    summary = train(job)
    curve = metrics(job, "dev")
    assert curve.top10_accuracy.iloc[-1] > 0.9
    assert curve.loss.iloc[-1] < 0.4 * curve.loss.iloc[0]
    assert summary["best_step"] == curve.loss.idxmin()
    assert summary == json.loads((Path(job.out).parent / "training.json").read_text())


def test_outputs_are_the_weights_with_the_best_dev_loss(make_job: Callable[..., Job]) -> None:
    job = make_job("nar", meta={"tokenizer": {"name": "made up"}})
    summary = train(job)
    model, meta = load_part("nar", job.out)
    assert meta["tokenizer"] == {"name": "made up"}
    splits: dict[str, str | Path] = {"train": job.train_cuts, "dev": job.dev_cuts}
    result = evaluate({"nar": model}, splits, 3, max_train_cuts=7)["nar"]
    assert result["dev"]["loss"] == pytest.approx(summary["best_loss"], rel=1e-5)
    assert result["dev"]["loss"] == pytest.approx(metrics(job, "dev").loss.min(), rel=1e-5)
    single = result["dev"]["quantizers"]
    assert list(single) == [str(quantizer) for quantizer in range(1, 8)]
    assert sum(q["positions"] for q in single.values()) == result["dev"]["positions"]
    assert result["dev"]["loss"] == pytest.approx(sum(q["loss"] for q in single.values()) / 7)
    frames = sum(c.codes.shape[0] for c in draw_cuts(CutSet.from_file(job.train_cuts), 7, 1))
    assert 0.7 * frames < result["train"]["quantizers"]["1"]["positions"] < 0.8 * frames


@pytest.mark.parametrize("average", [None, "ema"])
def test_without_validation_the_last_weights_are_the_model(
    make_job: Callable[..., Job], tmp_path: Path, average: str | None
) -> None:
    none = write_cuts(tmp_path / "none", 0)
    job = make_job(dev_cuts=none, average=average, run="none")
    summary = train(job)
    assert metrics(job, "dev").empty
    assert {summary[key] for key in ("best_step", "best_epoch", "best_loss")} == {None}
    assert json.loads((Path(job.out).parent / "training.json").read_text())["best_loss"] is None
    watched = make_job(run="b", average=average, valid_every=25)  # which is its last
    train(watched)
    assert weights(job) == weights(watched)


VARIANTS: dict[str, dict[str, Any]] = {
    "ar": {"part": "ar", "dropout": 0.1, "average": "ema", "schedule": "cosine"},
    "nar": {"part": "nar", "accumulate": 2, "optimizer": "scaled_adam", "schedule": "eden"},
    "lora": {"part": "ar", "lora": {"rank": 2}, "average": "periodic", "concatenate_seconds": 2.0},
    "bf16": {"part": "nar", "precision": "bf16", "gradient_checkpointing": True, "keep": 2},
    "frames": {"part": "ar", "model": PLACED},
    "noise": {"part": "ar", "history_noise": 0.3},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_goes_on_to_the_bit_after_a_crash(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    whole, broken = make_job(**VARIANTS[variant]), make_job(run="b", **VARIANTS[variant])
    train(whole)
    rng = random.Random(variant)
    for _ in range(3):
        with monkeypatch.context() as patch:
            crash_after(patch, rng.randrange(4, 8), crash)
            with pytest.raises(CrashError):
                train(broken)
        time.sleep(1)  # event files are read in the order of the second in their names
    train(broken)
    assert weights(broken) == weights(whole)

    columns = ["epoch", "split", "loss", "top10_accuracy", "learning_rate", "grad_norm"]
    tables = [pd.read_csv(Path(j.out).parent / "metrics.csv") for j in (whole, broken)]
    assert list(tables[0].columns) == COLUMNS
    assert tables[1].step.tolist() == [5, 10, 10, 15, 20, 20, 25, 25]
    pd.testing.assert_frame_equal(tables[1][columns], tables[0][columns])
    (folder,) = Path(broken.work).glob("*/tensorboard")
    events = EventAccumulator(str(folder)).Reload()
    assert [e.step for e in events.Scalars("loss/train")] == [5, 10, 15, 20, 25]
    states = sorted(folder.parent.glob("state-*"))
    assert len(states) == VARIANTS[variant].get("keep", 1)


def test_kill_9_at_random_moments(make_job: Callable[..., Job], tmp_path: Path) -> None:
    whole, killed = make_job(steps=400), make_job(run="b", steps=400)
    train(whole)
    path = tmp_path / "job.json"
    path.write_text(json.dumps(asdict(killed)))
    command = [sys.executable, "-m", "revoice.training.train", str(path)]
    rng, seen = random.Random(9), 0
    for _ in range(3):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        seen += rng.randrange(30, 90)
        while process.poll() is None and last_step(killed) < seen:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.1))
        assert process.poll() is None, "the run was over before it was killed"
        process.kill()
        process.wait()
    assert not Path(f"{killed.out}.safetensors").exists()
    subprocess.run(command, check=True)
    assert weights(killed) == weights(whole)
    assert metrics(killed, "train").index.tolist() == list(range(5, 401, 5))


def last_step(job: Job) -> int:
    files = list(Path(job.work).glob("*/metrics.csv"))
    lines = files[0].read_text().split("\n") if files else []
    return int(lines[-2].split(",")[0]) if len(lines) > 2 else 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_and_exits(
    make_job: Callable[..., Job],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: signal.Signals,
) -> None:
    whole, stopped = make_job(), make_job(run="b")
    train(whole)
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        crash_after(patch, 6, lambda: os.kill(os.getpid(), number))
        with pytest.raises(SystemExit) as raised:
            train(stopped)
    assert raised.value.code == INTERRUPTED
    assert "interrupted: step 7 is saved" in caplog.text
    assert stopped.interrupted.exists()
    assert signal.getsignal(number) == before
    with caplog.at_level("INFO"):
        train(stopped)
    assert "going on from step 7" in caplog.text
    assert not stopped.interrupted.exists()
    assert weights(stopped) == weights(whole)


def test_a_signal_during_validation(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped = make_job(), make_job(run="b")
    train(whole)
    real = training.measure

    def measure(*args: Any) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(training, "measure", measure)
        with pytest.raises(SystemExit):
            train(stopped)
    train(stopped)
    assert weights(stopped) == weights(whole)
    assert metrics(stopped, "dev").index.tolist() == [10, 20, 25]


def test_a_full_disk_leaves_the_state_before(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, full = make_job(), make_job(run="b")
    train(whole)
    real = torch.save

    def save(state: Any, path: Path) -> None:
        if state["progress"]["step"] == 8:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        real(state, path)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", save)
        with pytest.raises(RuntimeError, match="No space left"):
            train(full)
    (state,) = Path(full.work).glob("*/state-*")
    assert state.name.startswith("state-000000004.")
    train(full)
    assert weights(full) == weights(whole)


def test_more_epochs_go_on_and_another_setting_starts_anew(
    make_job: Callable[..., Job], caplog: pytest.LogCaptureFixture
) -> None:
    whole = make_job(epochs=4, schedule="constant", valid_every=1000)

    def start_of(epochs: int, **changes: Any) -> str:
        caplog.clear()
        train(make_job(run="b", epochs=epochs, **{"schedule": "constant", **changes}))
        return next(line for line in caplog.messages if "starting" in line or "going on" in line)

    assert train(whole)["epochs"] == 4
    with caplog.at_level("INFO"):
        assert "starting anew" in start_of(2, valid_every=1000)
        assert "going on from step" in start_of(4, valid_every=1000)
        longer = make_job(run="b", epochs=4)
        assert weights(longer) == weights(whole)
        assert metrics(longer, "dev").loss.iloc[-1] == metrics(whole, "dev").loss.iloc[-1]
        assert "starting anew" in start_of(2, valid_every=1000)
        assert "starting anew" in start_of(2, valid_every=1000, lr=1e-3)
        # the states in and after the third epoch are none of a run of two
        other = {"valid_every": 1000, "lr": 2e-3, "checkpoint_every": 1, "keep": 2}
        start_of(3, **other)
        assert "starting anew" in start_of(2, **other)
    assert len(list(Path(longer.work).glob("test-ar-*/"))) == 3


def test_the_digest_is_of_what_decides(make_job: Callable[..., Job]) -> None:
    job = make_job()
    digest = job.digest(1)
    assert replace(job, train={**job.train, "steps": 99}).digest(1) == digest
    assert replace(job, threads=2, log="elsewhere.log").digest(1) == digest
    said = {"log_every": 1, "checkpoint_every": 7, "keep": 3}
    assert replace(job, train={**job.train, **said}).digest(1) == digest
    changes: list[dict[str, Any]] = [
        {"train": {**job.train, "lr": 1.0}},
        {"model": {**MODEL, "layers": 3}},
        {"data": {**job.data, "train": "0"}},
        {"data": {**job.data, "dev": "0"}},
        {"weights": {"one": 1.0}},
        {"separator": [1]},
    ]
    digests = {replace(job, **change).digest(1) for change in changes} | {job.digest(2), digest}
    assert len(digests) == len(changes) + 2


@pytest.mark.parametrize("part", ["ar", "nar"])
def test_two_processes_train_as_one_with_twice_the_accumulation(
    make_job: Callable[..., Job], tmp_path: Path, part: str
) -> None:
    data = {
        "train_cuts": write_cuts(tmp_path / "train", 260),
        "dev_cuts": write_cuts(tmp_path / "dev", 9),  # batches of unequal number and size
    }
    settings = {"steps": 20, "log_every": 1, "valid_every": 1, **data}
    one, two = make_job(part, accumulate=2, **settings), make_job(part, run="b", **settings)
    train(one)
    run(replace(two, log=str(tmp_path / "log")), processes=2)
    assert metrics(one, "train").epoch.max() == 0
    for split in ("train", "dev"):
        ours, theirs = metrics(one, split), metrics(two, split)
        assert len(theirs) == 20
        assert theirs.loss.tolist() == pytest.approx(ours.loss.tolist(), rel=1e-3)
        assert theirs.loss[1] == pytest.approx(ours.loss[1], rel=1e-5)
        if part == "ar" and split == "dev":
            assert theirs.swap_loss[1] == pytest.approx(ours.swap_loss[1], rel=1e-5)
        assert theirs.top10_accuracy[1] == pytest.approx(ours.top10_accuracy[1], abs=1e-6)
    assert "step 20/20" in (tmp_path / "log").read_text()


def test_two_processes_train_what_few_batches_use(
    make_job: Callable[..., Job], tmp_path: Path, pretrained: str
) -> None:
    """In most steps no rank, or one alone, has a gradient: each batch is of one quantizer."""
    settings = {
        "steps": 12,
        "trainable": ["nar_predict_layers.6.weight"],
        "init": f"{pretrained}/nar-init",
        "train_cuts": write_cuts(tmp_path / "train", 260),
    }
    one, two = make_job("nar", accumulate=2, **settings), make_job("nar", run="b", **settings)
    train(one)
    run(replace(two, log=str(tmp_path / "log")), processes=2)
    before, ours, theirs = (
        load_file(f"{stem}.safetensors") for stem in (one.init, one.out, two.out)
    )
    name = "nar_predict_layers.6.weight"
    moved = (ours[name] - before[name]).abs().max()
    assert moved > 1e-3
    assert (theirs[name] - ours[name]).abs().max() < 1e-3 * moved
    assert all(torch.equal(theirs[other], before[other]) for other in before if other != name)


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_step_whose_gradient_is_not_finite_is_skipped(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    """It is before a state is saved, of which there is one alone."""
    job, steps = make_job(checkpoint_every=7, log_every=1), iter(range(1, 100))

    def loss(*args: Any) -> tuple[torch.Tensor, torch.Tensor]:
        found, sums = batch_loss(*args)
        return (found * value, sums * value) if next(steps) == 7 else (found, sums)

    with monkeypatch.context() as patch:
        patch.setattr(training, "batch_loss", loss)
        crash_after(patch, 9, crash)
        with pytest.raises(CrashError):
            train(job)
    assert train(job)["skipped_steps"] == 1
    told = metrics(job, "train")
    assert told.skipped_steps.tolist() == [0] * 6 + [1] * 19
    assert told.loss.isna().tolist() == [False] * 6 + [True] + [False] * 18
    model = load_file(f"{job.out}.safetensors")
    assert all(tensor.isfinite().all() for tensor in model.values())
    assert read_json(Path(job.out).parent / "training.json")["skipped_steps"] == 1


def test_ten_such_steps_in_a_row_end_the_run(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, steps = make_job(), iter(range(1, 100))

    def loss(*args: Any) -> tuple[torch.Tensor, torch.Tensor]:
        found, sums = batch_loss(*args)
        number = next(steps)
        return (found * math.nan, sums) if number == 5 or 7 <= number <= 16 else (found, sums)

    with monkeypatch.context() as patch:
        patch.setattr(training, "batch_loss", loss)
        with pytest.raises(RuntimeError, match=r"experiments\.test\.ar: .* to step 16, .*Lower lr"):
            train(job)
    train(job)
    assert (
        read_json(Path(job.out).parent / "training.json")["skipped_steps"] == 7
    )  # to step 12, the last state


def test_unequal_shares_do_not_hang(make_job: Callable[..., Job], tmp_path: Path) -> None:
    """One rank has no dev batch at all, the last batches of an epoch are too few for both."""
    data = {"train_cuts": write_cuts(tmp_path / "a", 7), "dev_cuts": write_cuts(tmp_path / "b", 1)}
    job = replace(make_job("ar", epochs=5, accumulate=2, batch_seconds=1, **data), threads=1)
    path = tmp_path / "job.json"
    path.write_text(json.dumps(asdict(job)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    subprocess.run([*command, "-m", "revoice.training.train", str(path)], check=True, timeout=120)
    assert metrics(job, "dev").loss.notna().all()


def test_a_signal_to_the_launcher_reaches_the_processes(
    make_job: Callable[..., Job], tmp_path: Path
) -> None:
    job = replace(make_job("ar", steps=100_000), log=str(tmp_path / "log"))
    path = tmp_path / "job.json"
    path.write_text(json.dumps(asdict(job)))
    code = (
        "import sys; from revoice.files import read_json\n"
        "from revoice.training.job import Job\nfrom revoice.training.launch import run\n"
        "run(Job(**read_json(sys.argv[1])), processes=2)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stderr=subprocess.DEVNULL, text=True
    )
    while process.poll() is None and last_step(job) < 10:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == INTERRUPTED
    assert "is saved; the same command goes on" in (tmp_path / "log").read_text()
    assert list(Path(job.work).glob("*/state-*"))


def test_srun_starts_the_processes_on_the_nodes(
    make_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a program in srun's place that starts two processes here."""
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text(
        "#!/bin/sh\n"
        'while [ "${1#--}" != "$1" ]; do shift; done\n'
        "export SLURM_NTASKS=2 MASTER_ADDR=localhost\n"
        'SLURM_PROCID=1 SLURM_LOCALID=0 "$@" & SLURM_PROCID=0 SLURM_LOCALID=0 "$@" && wait $!\n'
    )
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{srun.parent}:{os.environ['PATH']}")
    job = replace(make_job("ar", steps=3), log=str(tmp_path / "log"))
    summary = run(job, nodes=2)
    assert (summary["processes"], summary["steps"]) == (2, 3)


def test_a_failed_launch_says_where_to_look(make_job: Callable[..., Job], tmp_path: Path) -> None:
    job = make_job("ar", log=str(tmp_path / "the.log"), train_cuts="absent.jsonl.gz")
    with pytest.raises(RuntimeError, match=r"failed with status 1; see .*/the\.log"):
        run(job, processes=2)


@pytest.fixture
def pretrained(tmp_path: Path) -> str:
    for part in ("ar", "nar"):
        torch.manual_seed(3)
        save_model(tmp_path / f"{part}-init", PARTS[part](ModelConfig(**MODEL)), {})  # type: ignore[arg-type, index]
    return str(tmp_path)


@pytest.mark.parametrize(
    ("part", "globs", "moved"),
    [
        ("ar", ["ar_predict_layer.*"], {"ar_predict_layer.weight"}),
        ("nar", ["nar_stage_embeddings.2.*"], {"nar_stage_embeddings.2.word_embeddings.weight"}),
        (
            "nar",  # tied to the embedding of the next codebook
            ["nar_predict_layers.1.*"],
            {"nar_predict_layers.1.weight", "nar_audio_embeddings.3.word_embeddings.weight"},
        ),
    ],
)
def test_what_is_frozen_stays_to_the_bit(
    make_job: Callable[..., Job], pretrained: str, part: str, globs: list[str], moved: set[str]
) -> None:
    job = make_job(part, trainable=globs, steps=30, init=f"{pretrained}/{part}-init")
    summary = train(job)
    before, after = (load_file(f"{stem}.safetensors") for stem in (job.init, job.out))
    assert {name for name in before if not torch.equal(before[name], after[name])} == moved
    (state,) = Path(job.work).glob("*/state-*")
    assert len(torch.load(state, weights_only=True)["model"]) == 1
    assert 0 < summary["trainable_parameters"] < summary["parameters"] / 2


def test_a_glob_without_match_names_near_ones() -> None:
    model = PARTS["ar"](ModelConfig(**MODEL))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="matches no parameter") as raised:
        freeze(model, ["ar_decoder.*", "ar_predict_layers.*"], "experiments.mine.ar.trainable")
    lines = str(raised.value).split("\n")
    assert lines[0] == (
        'experiments.mine.ar.trainable[1] = "ar_predict_layers.*" matches no parameter.'
    )
    assert 'Did you mean "ar_predict_layer.*" (1 tensor)' in lines[1]
    assert "ar_text_embedding" in lines[1]
    with pytest.raises(ValueError, match=r'lora\.targets\[0\] = "nothing"'):
        add_lora(model, LoraConfig(targets=["nothing"]))
    with pytest.raises(ValueError, match="in_proj_bias is no matrix"):
        add_lora(model, LoraConfig(targets=["*in_proj_bias"]))
    nar = PARTS["nar"](ModelConfig(**MODEL))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tied to another tensor"):
        add_lora(nar, LoraConfig(targets=["nar_predict_layers.1.weight"]))


def test_merged_adapters_give_the_same_outputs(cuts: dict[str, str]) -> None:
    torch.manual_seed(0)
    model = PARTS["ar"](ModelConfig(**MODEL)).eval()  # type: ignore[arg-type]
    names = set(model.state_dict())
    batch = CodesDataset(0)[CutSet.from_file(cuts["dev_cuts"])]
    inputs = (batch.text, batch.text_lens, batch.codes, batch.code_lens)
    plain = model(*inputs)
    freeze(model, [])
    lora = LoraConfig(rank=3, alpha=6, targets=["*in_proj_weight", "*.linear?.weight"])
    add_lora(model, lora)
    assert torch.allclose(model(*inputs), plain, atol=1e-6)
    optimizer = make_optimizer(model.named_parameters(), TrainConfig(steps=1, lr=0.1))
    for _ in range(3):
        mse_loss(model(*inputs), plain.detach() + 1).backward()
        optimizer.step()
    adapters = 2 * 3 * ((3 * 32 + 32) + 2 * (4 * 32 + 32))
    assert sum(t.numel() for s in optimizer.state.values() for t in s.values()) == pytest.approx(
        2 * adapters,
        abs=100,  # two moments; a step count per tensor
    )
    adapted = model(*inputs)
    assert not torch.allclose(adapted, plain, atol=0.1)
    merge_lora(model)
    assert torch.allclose(model(*inputs), adapted, atol=1e-5)
    assert set(model.state_dict()) == names


def test_lora_trains_its_targets_alone(make_job: Callable[..., Job], pretrained: str) -> None:
    lora = {"rank": 2, "targets": ["ar_decoder.layers.1.*.in_proj_weight"]}
    job = make_job(lora=lora, trainable=["ar_decoder.norm.*"], init=f"{pretrained}/ar-init")
    train(job)
    before, after = (load_file(f"{stem}.safetensors") for stem in (job.init, job.out))
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        "ar_decoder.layers.1.self_attn.in_proj_weight",
        "ar_decoder.norm.weight",
        "ar_decoder.norm.bias",
    }


def test_validations_take_a_sample_of_dev_and_the_end_all_of_it(
    make_job: Callable[..., Job], tmp_path: Path
) -> None:
    dev = write_cuts(tmp_path / "dev", 40, seed=1)
    sampled = make_job(dev_cuts=dev, valid_seconds=10)
    summary = train(sampled)
    whole = {"dev": dev}
    assert 0 < summary["padding"] < 0.5
    result = evaluate({"ar": load_part("ar", sampled.out)[0]}, whole, 3)["ar"]["dev"]
    assert summary["dev_loss"] == pytest.approx(result["loss"], rel=1e-5)
    assert summary["dev_top10_accuracy"] == pytest.approx(result["top10_accuracy"], rel=1e-5)
    assert summary["best_loss"] != pytest.approx(summary["dev_loss"], rel=1e-4)
    assert summary["best_loss"] == pytest.approx(metrics(sampled, "dev").loss.min(), rel=1e-5)
    assert "dev_loss" not in train(make_job(run="b", dev_cuts=dev, valid_seconds=None))


def test_validation_at_the_end_of_each_epoch(make_job: Callable[..., Job]) -> None:
    job = make_job(epochs=3, valid_every=None)
    steps = train(job)["steps"]
    assert metrics(job, "dev").index.tolist() == [steps // 3, steps * 2 // 3, steps]


@pytest.mark.parametrize(
    ("resources", "processes"),
    [
        ({}, 1),
        ({"gpu": 0}, 1),
        ({"gpu": 4}, 4),
        ({"gpu": 4, "nodes": 2}, 2),
        ({"gres": "gpu:4", "nodes": 2}, 4),
        ({"gres": "gpu:a100_1g.5gb:2", "gpu": 0}, 2),
    ],
)
def test_processes_on_a_node(resources: dict[str, Any], processes: int) -> None:
    assert launch.processes_per_node(resources) == processes
    with pytest.raises(ValueError, match="3 GPUs in all cannot be shared evenly by 2 nodes"):
        launch.processes_per_node({"gpu": 3, "nodes": 2})


def test_a_step_that_trains_nothing_is_none_in_fp16(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a NAR, a batch that draws a quantizer whose layer is frozen gives no gradient."""
    scaler = torch.amp.GradScaler
    monkeypatch.setattr(torch.amp, "GradScaler", lambda device, enabled: scaler(device))
    job = make_job("nar", precision="fp32", trainable=["nar_predict_layers.0.*"], steps=12)
    assert train(job)["steps"] == 12


def test_early_stopping(make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([3.0, 2.0, 2.5, 2.0, 2.2, 1.0])

    def measure(*args: Any) -> torch.Tensor:
        return torch.tensor([[10 * next(losses), 10, 1, 10]], dtype=torch.float64)

    monkeypatch.setattr(training, "measure", measure)
    job = make_job(steps=1000, valid_every=3, log_every=1000, early_stopping=3)
    summary = train(job)
    assert (summary["steps"], summary["best_step"], summary["best_loss"]) == (15, 12, 2.0)
    assert train(job)["steps"] == 15


def test_averages() -> None:
    rng = random.Random(1)
    values = [rng.random() for _ in range(1000)]
    for kind, expected, close in (
        ("periodic", sum(values[99::100]) / 10, 1e-9),  # of steps 100, 200, ... 1000
        ("ema", sum(values) / 1000, 0.1),
    ):
        average = 0.0
        for step, value in enumerate(values, 1):
            average += average_rate(kind, step) * (value - average)
        assert average == pytest.approx(expected, abs=close)


def test_averaged_weights_come_out(make_job: Callable[..., Job]) -> None:
    jobs = [make_job(run=str(kind), average=kind) for kind in (None, "ema", "periodic")]
    for job in jobs:
        train(job)
    assert weights(jobs[0]) != weights(jobs[1])
    assert weights(jobs[0]) == weights(jobs[2])  # until step 100 the average is the last
    result = evaluate({"ar": load_part("ar", jobs[1].out)[0]}, {"dev": jobs[1].dev_cuts}, 3)
    assert result["ar"]["dev"]["loss"] == pytest.approx(
        metrics(jobs[1], "dev").loss.min(), rel=1e-5
    )


def test_memory_check_advises_and_leaves_no_trace(
    cuts: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = PARTS["ar"](ModelConfig(**MODEL, dropout=0.5))  # type: ignore[arg-type]
    batch = CutSet.from_file(cuts["dev_cuts"]).to_eager()
    device = torch.device("cpu")
    before, state = {n: p.clone() for n, p in model.named_parameters()}, torch.get_rng_state()

    def check() -> None:
        full = lambda: torch.autocast("cpu", enabled=False)  # noqa: E731
        check_memory("ar", model, CodesDataset(0), batch, device, full, batch_seconds=40)

    check()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None and torch.equal(p, before[n]) for n, p in model.named_parameters())

    for error in (torch.OutOfMemoryError("no"), RuntimeError("can't allocate memory: 9 bytes")):
        monkeypatch.setattr(setup, "batch_loss", lambda *_, error=error: raise_(error))
        with pytest.raises(RuntimeError, match=r"5 cuts of up to .* try 20 and twice"):
            check()
    monkeypatch.setattr(setup, "batch_loss", lambda *_: raise_(RuntimeError("other")))
    with pytest.raises(RuntimeError, match="other"):
        check()


def test_the_precision_is_told_and_kept(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` takes what the machine is good at, and a run that goes on elsewhere keeps it."""
    job = make_job(precision="auto", steps=8)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert train(job)["precision"] == "fp32"
    assert train(make_job(run="b", precision="bf16", steps=8))["precision"] == "fp32"
    assert weights(job) == weights(make_job(run="b"))
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    longer = make_job(precision="auto", steps=12, schedule="constant")
    assert train(longer)["precision"] == "bf16"
    job = make_job(run="c", precision="auto", steps=12, schedule="constant")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert train(make_job(run="c", precision="auto", steps=8, schedule="constant"))
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert train(job)["precision"] == "fp32", "goes on from step 8"


def test_losses_in_bf16_are_those_of_float32(make_job: Callable[..., Job]) -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        train(job := make_job(run=precision, precision=precision, steps=200, lr=1e-3))
        losses[precision] = metrics(job, "dev").loss.iloc[-1]
    assert losses["bf16"] == pytest.approx(losses["fp32"], abs=1e-2)


@pytest.mark.parametrize(("system", "bytes_each"), [("linux", 2**10), ("darwin", 1)])
def test_peak_memory_is_told_in_the_systems_unit(
    monkeypatch: pytest.MonkeyPatch, system: str, bytes_each: int
) -> None:
    used = SimpleNamespace(ru_maxrss=300 * 2**20 // bytes_each)
    monkeypatch.setattr(training_metrics.sys, "platform", system)
    monkeypatch.setattr(training_metrics.resource, "getrusage", lambda who: used)
    assert training_metrics.peak_memory_mb() == 300
    monkeypatch.setattr(training_metrics, "resource", None)  # Windows
    assert 10 < training_metrics.peak_memory_mb() < 10**5


def raise_(error: Exception) -> None:
    raise error


def test_a_loss_that_is_no_number_is_an_error(make_job: Callable[..., Job]) -> None:
    with pytest.raises(RuntimeError, match=r"10 steps in a row, .* is not finite\. Lower lr"):
        train(make_job(lr=1e30, clip=None))


def test_a_part_that_is_not_trained_is_taken_over(
    make_job: Callable[..., Job], pretrained: str
) -> None:
    job = make_job("nar", init=f"{pretrained}/nar-init", text_symbols=30)
    launch.adopt(job)
    before, after = (load_file(f"{stem}.safetensors") for stem in (job.init, job.out))
    text = "nar_text_embedding.word_embeddings.weight"
    assert torch.equal(after.pop(text)[: MODEL["text_symbols"]], before.pop(text))
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert metrics(job, "train").empty
    assert json.loads((Path(job.out).parent / "training.json").read_text())["steps"] == 0
