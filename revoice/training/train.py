"""Training of one part, the AR or the NAR: the loop, top to bottom.

`train(job)` runs in one process, or in each of several that torchrun or srun started. Whatever ends
it before time, the same job goes on from the state in its work folder and ends in the same weights.
"""

import csv
import hashlib
import json
import logging
import math
import os
import resource
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lhotse import CutSet
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from revoice.config import StageConfig
from revoice.devices import best_device
from revoice.evaluation.evaluate import Part, batch_loss, count_positions, figures, measure
from revoice.files import atomic, read_json, sha256, write_json
from revoice.model import PARTS
from revoice.model.checkpoint import build, load_part, save_model
from revoice.model.finetune import add_lora, freeze, grow, merge_lora
from revoice.model.valle import AR, NAR, ModelConfig
from revoice.training.data import CodesDataset, Sampler, load_batches, ordered_batches
from revoice.training.optim import make_optimizer, make_schedule
from revoice.training.state import (
    digest_cuts,
    load_state,
    locked,
    rng_state,
    save_state,
    set_rng_state,
)
from revoice.workflow.scripts import digest_of

log = logging.getLogger(__name__)

INTERRUPTED = 75  # exit code: the state is saved, the same command goes on (EX_TEMPFAIL)
CODE = "training.train training.data model.valle model.losses training.optim model.finetune".split()
CODE += "evaluation.evaluate training.state model.checkpoint".split()
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
COLUMNS = ["step", "epoch", "split", "loss", "top10_accuracy", "learning_rate", "grad_norm"]
COLUMNS += ["frames_per_second", "peak_memory_mb"]


@dataclass(frozen=True)
class Job:
    """All that a training needs to know; JSON values alone.

    `model` are the fields of the `ModelConfig` of a model that starts from nothing; else `init` is
    the stem of the model to start from, `new_languages` and `text_symbols` what it grows by.
    `train_cuts` and `dev_cuts` are manifests, `work` is the folder of resume states, `out` the stem
    of the model, beside which `metrics.csv` and `training.json` appear. `meta` goes into the
    model's JSON, `separator` between the texts of joined cuts, `ends` around a whole text.
    """

    name: str
    part: Part
    stage: dict[str, Any]
    train_cuts: str
    dev_cuts: str
    work: str
    out: str
    model: dict[str, Any] | None = None
    init: str | None = None
    new_languages: dict[str, str] = field(default_factory=dict)
    text_symbols: int = 0
    separator: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    threads: int = 1
    log: str | None = None

    @property
    def interrupted(self) -> Path:
        """Exists after a run that a signal ended."""
        return Path(self.work) / f"{self.name}-{self.part}.interrupted"

    def digest(self, world_size: int) -> str:
        """Digest of everything that decides about the weights, but how long the run is."""
        undecided = {"epochs", "steps", "log_every", "checkpoint_every", "keep"}
        stage = {k: v for k, v in self.stage.items() if k not in undecided}
        decides = {
            "part": self.part,
            "stage": stage,
            "model": self.model,
            "init": [sha256(f"{self.init}{end}") for end in (".safetensors", ".json")]
            if self.init
            else None,
            "grow": [self.new_languages, self.text_symbols],
            "text": [self.separator, self.ends],
            "cuts": [digest_cuts(self.train_cuts), digest_cuts(self.dev_cuts)],
            "world_size": world_size,
        }
        text = json.dumps(decides, sort_keys=True) + digest_of(*(f"revoice.{m}" for m in CODE))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass
class Progress:
    """Where a run is: all of its state that is no tensor."""

    step: int = 0
    epoch: int = 0
    batches: int = 0  # of this epoch, that this rank has seen
    validated: int = 0  # the last step with a validation
    best_loss: float = math.inf
    best_step: int = 0
    best_epoch: int = 0
    without_gain: int = 0  # validations since the best
    seconds: float = 0.0
    metrics_bytes: int = 0  # how much of metrics.csv belongs to this state
    grad_norm: float = 0.0
    interval_seconds: float = 0.0  # since the last line of metrics
    interval: list[float] = field(default_factory=lambda: [0.0] * 5)  # as batch_loss, and frames


def train(job: Job) -> dict[str, Any]:
    """Train one part and write `{out}.safetensors`, `{out}.json`, metrics.csv and training.json.

    Returns what training.json holds. Exits with status `INTERRUPTED` after a signal.
    """
    stage, part, out = StageConfig(**job.stage), job.part, Path(job.out)
    rank, world_size, device = start_processes()
    torch.set_num_threads(job.threads)
    folder = shared_value(lambda: f"{job.name}-{part}-{job.digest(world_size)}", rank, world_size)
    work = Path(job.work) / folder
    with locked(work) if rank == 0 else nullcontext(), caught_signals() as stop:
        shared_value(lambda: job.interrupted.unlink(missing_ok=True), rank, world_size)

        # Model, optimizer, data
        torch.manual_seed(stage.seed)
        model, meta = make_model(job, stage)
        where = f"experiments.{job.name}.{part}"
        freeze(
            model,
            [] if stage.lora and stage.trainable == "all" else stage.trainable,
            f"{where}.trainable",
        )
        if stage.lora:
            add_lora(model, stage.lora, f"{where}.lora.targets")
        model.gradient_checkpointing = stage.gradient_checkpointing
        model.to(device).train()
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        average = {name: p.detach().clone() for name, p in trained.items()} if stage.average else {}
        best: dict[str, Tensor] = {}
        config = model.config
        dataset = CodesDataset(config.pad, config.languages, job.separator, job.ends)
        train_cuts = CutSet.from_jsonl_lazy(job.train_cuts)
        dev_cuts = CutSet.from_jsonl_lazy(job.dev_cuts)
        sampler = Sampler(
            train_cuts, stage.batch_seconds, stage.seed, rank, world_size, stage.concatenate_seconds
        )
        epoch_batches, largest = survey(sampler)
        steps_per_epoch = math.ceil(epoch_batches / stage.accumulate)
        total_steps = stage.steps or stage.epochs * steps_per_epoch  # type: ignore[operator]
        optimizer = make_optimizer(model.named_parameters(), stage)
        schedule = make_schedule(optimizer, stage, total_steps, steps_per_epoch)
        scaler = torch.amp.GradScaler(device.type, enabled=stage.precision == "fp16")
        draws = torch.Generator().manual_seed(stage.seed)  # quantizers and prompts of the NAR
        torch.manual_seed(stage.seed + rank)  # dropout differs between ranks
        here = Progress()

        dtype = computing_dtype(stage.precision, device)

        def autocast() -> torch.autocast:
            return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)

        # Go on where an earlier process was
        def on_the_way(state: dict[str, Any]) -> bool:
            at = Progress(**state["progress"])
            if stage.steps:
                return at.step <= stage.steps
            return (at.epoch, at.batches) <= (stage.epochs or 0, 0)

        if state := load_state(work, on_the_way):
            here = Progress(**state["progress"])
            assign(trained, state["model"])
            assign(average, state["average"])
            best = state["best"]
            optimizer.load_state_dict(state["optimizer"])
            schedule.load_state_dict(state["schedule"])
            scaler.load_state_dict(state["scaler"])
            draws.set_state(state["draws"])
            set_rng_state(state["rng"][rank])
            log.info("going on from step %d, epoch %d (%s)", here.step, here.epoch, work)
            del state
        else:
            log.info("starting anew (%s)", work)
        check_memory(part, model, dataset, largest, device, autocast, stage.batch_seconds)

        parallel: torch.nn.Module = model
        if world_size > 1:
            parallel = DistributedDataParallel(
                model,
                device_ids=[device.index] if device.type == "cuda" else None,
                find_unused_parameters=part == "nar",  # each batch trains one output layer
            )
        metrics = Metrics(work, here, rank)
        bar = tqdm(
            total=total_steps,
            initial=here.step,
            desc=f"{job.name} {part}",
            unit="step",
            disable=rank != 0 or not sys.stderr.isatty(),
        )

        def save() -> None:
            here.seconds = seconds_before + time.monotonic() - started
            here.metrics_bytes = metrics.flush()
            rngs: list[Any] = [None] * world_size
            if world_size > 1:
                dist.all_gather_object(rngs, rng_state())
            else:
                rngs = [rng_state()]
            if rank != 0:
                return
            state = {
                "step": here.step,
                "progress": asdict(here),
                "model": {name: p.detach() for name, p in trained.items()},
                "average": average,
                "best": best,
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "scaler": scaler.state_dict(),
                "draws": draws.get_state(),
                "rng": rngs,
            }
            save_state(work, state, stage.keep)

        # The loop
        batches = None
        started, seconds_before = time.monotonic(), here.seconds
        while True:
            early = stage.early_stopping is not None and here.without_gain >= stage.early_stopping
            over = here.step >= stage.steps if stage.steps else here.epoch >= (stage.epochs or 0)
            done, interrupted = over or early, everywhere(stop.is_set(), device)
            if stage.valid_every:
                due = done or here.step % stage.valid_every == 0
            else:
                due = done or here.batches == 0
            if due and here.validated < here.step and not interrupted:
                with exchanged(trained, average):
                    mine = ordered_batches(dev_cuts, stage.batch_seconds, rank, world_size)
                    dev_batches = load_batches(dataset, mine)
                    sums = measure(part, model, dev_batches, device, autocast, stop.is_set)
                interrupted = everywhere(stop.is_set(), device)
                if not interrupted:  # else it is done again, first thing, when the run goes on
                    sums = added(sums.sum(0))
                    here.validated = here.step
                    dev = figures(sums)
                    metrics.write(here, "dev", dev)
                    log.info(
                        "step %d: dev loss %.4f, top10 %.4f",
                        here.step,
                        dev["loss"],
                        dev["top10_accuracy"],
                    )
                    here.without_gain += 1
                    if dev["loss"] < here.best_loss:
                        here.best_loss, here.without_gain = dev["loss"], 0
                        here.best_step, here.best_epoch = here.step, here.epoch
                        best = {
                            n: t.detach().cpu().clone() for n, t in (average or trained).items()
                        }
                    continue
            if interrupted:
                save()
                if rank == 0:
                    job.interrupted.touch()
                everywhere(True, device)  # no rank leaves before the state is written
                log.warning("interrupted: step %d is saved; the same command goes on", here.step)
                raise SystemExit(INTERRUPTED)
            if done or (
                here.step and here.step % stage.checkpoint_every == 0 and not metrics.saved
            ):
                save()
                metrics.saved = True
            if done:
                break

            clock = time.monotonic()
            if batches is None:
                chosen = sampler.epoch(here.epoch, skip=here.batches)
                batches = load_batches(dataset, chosen, workers=2 if device.type == "cuda" else 0)
            group = list(islice(batches, stage.accumulate))
            if not group:
                here.epoch, here.batches, batches = here.epoch + 1, 0, None
                continue

            # One step: every rank draws for all, so that the draws do not depend on their number
            drawn = torch.rand(stage.accumulate * world_size, 2, generator=draws)[rank::world_size]
            quantizers = (1 + drawn[:, 0] * (model.config.quantizers - 1)).long().tolist()
            shares = (drawn[:, 1] / 2).tolist()
            own = sum(map(count_positions, [part] * len(group), group, shares))
            positions = added(torch.tensor(own, device=device, dtype=torch.float64)).item()
            for i, batch in enumerate(group):
                batch = batch.to(device)
                last = i == len(group) - 1
                with nullcontext() if last or world_size == 1 else parallel.no_sync():  # type: ignore[operator]
                    with autocast():
                        loss, sums = batch_loss(part, parallel, batch, quantizers[i], shares[i])
                    # DDP takes the mean over ranks: the gradient becomes that of sum / positions
                    # (no gradient: none of what is trained takes part in this quantizer)
                    if loss.requires_grad or world_size > 1:
                        scaler.scale(loss * (world_size / positions)).backward()
                numbers = [*sums.tolist(), float(batch.code_lens.sum())]
                here.interval = [a + b for a, b in zip(here.interval, numbers, strict=True)]
            clip = stage.clip if stage.clip and stage.optimizer != "scaled_adam" else math.inf
            if any(p.grad is not None for p in trained.values()):
                scaler.unscale_(optimizer)
                here.grad_norm = float(clip_grad_norm_(trained.values(), clip))
                scaler.step(optimizer)
                scaler.update()
            optimizer.zero_grad(set_to_none=True)
            lr = float(schedule.get_last_lr()[0])
            schedule.step()
            here.step += 1
            here.batches += len(group)
            metrics.saved = False
            if average:
                rate = average_rate(stage.average, here.step)
                torch._foreach_lerp_(
                    list(average.values()), [p.detach() for p in trained.values()], rate
                )
            here.interval_seconds += time.monotonic() - clock
            bar.update()

            if here.step % stage.log_every == 0:
                total = added(torch.tensor(here.interval, device=device, dtype=torch.float64))
                result = figures(total[:4])
                speed = float(total[4]) / here.interval_seconds
                metrics.write(here, "train", result, lr, here.grad_norm, speed)
                bar.set_postfix(loss=result["loss"], top10=result["top10_accuracy"], frames_s=speed)
                if not math.isfinite(result["loss"]):
                    raise RuntimeError(
                        f"{where}: the loss is {result['loss']} at step {here.step}. "
                        "Lower lr, lengthen the warm-up, or set precision: fp32"
                    )
                if bar.disable:
                    passed = seconds_before + time.monotonic() - started
                    left = passed / here.step * max(0, total_steps - here.step)
                    log.info(
                        "step %d/%d, epoch %d: "
                        "loss %.4f, top10 %.4f, lr %.2e, %d frames/s, %s left",
                        *(here.step, total_steps, here.epoch, result["loss"]),
                        *(result["top10_accuracy"], lr, speed, tqdm.format_interval(left)),
                    )
                here.interval, here.interval_seconds = [0.0] * 5, 0.0

        # What comes out: the weights with the best dev loss
        bar.close()
        metrics.close()
        if best:
            assign(trained, best)
        merge_lora(model)
        summary = {
            "steps": here.step,
            "epochs": here.epoch,
            "best_epoch": here.best_epoch,
            "best_step": here.best_step,
            "best_loss": here.best_loss,
            "seconds": round(here.seconds, 1),
            "peak_memory_mb": peak_memory_mb(device),
            "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
            "processes": world_size,
            "parameters": sum(p.numel() for p in model.parameters()),
            "trainable_parameters": sum(p.numel() for p in trained.values()),
        }
        if rank == 0:
            config = replace(model.config, dropout=0.0)
            save_model(out, model.state_dict(), {**meta, **job.meta, "model": config})
            with atomic(out.parent / "metrics.csv") as temporary:
                shutil.copyfile(work / "metrics.csv", temporary)
            write_json(out.parent / "training.json", summary)
        return summary


def make_model(job: Job, stage: StageConfig) -> tuple[AR | NAR, dict[str, Any]]:
    """The part to train, on the CPU, with the stage's dropout, and what is known of its origin."""
    if job.init is None:
        if job.model is None:
            raise ValueError(f"{job.name}: a job needs `model` or `init`")
        return PARTS[job.part](ModelConfig(**{**job.model, "dropout": stage.dropout})), {}
    model, meta = load_part(job.part, job.init)
    if job.new_languages or job.text_symbols > model.config.text_symbols:
        symbols = max(job.text_symbols, model.config.text_symbols)
        model = grow(model, job.new_languages, symbols, stage.seed)
    config = replace(model.config, dropout=stage.dropout)
    return build(job.part, config, model.state_dict(), job.init), meta


def computing_dtype(precision: str, device: torch.device) -> torch.dtype:
    """What matrices are multiplied in: float32 for bf16 on a CPU that would have to emulate it."""
    if precision == "bf16" and device.type == "cpu" and not torch.cpu._is_avx512_bf16_supported():
        log.warning("this CPU has no bf16 arithmetic: computing in fp32")
        return torch.float32
    return PRECISIONS[precision]


def survey(sampler: Sampler) -> tuple[int, CutSet]:
    """Number of batches in an epoch, and the batch with the most padded audio; reads no codes."""
    number, largest, size = 0, None, 0.0
    for cuts in sampler.epoch(0):
        number += 1
        seconds = len(cuts) * max(cut.duration for cut in cuts)
        if seconds > size:
            largest, size = cuts, seconds
    if largest is None:
        raise ValueError("there are fewer cuts to train on than processes")
    return number, largest


def check_memory(
    part: Part,
    model: AR | NAR,
    dataset: CodesDataset,
    cuts: CutSet,
    device: torch.device,
    autocast: Any,
    batch_seconds: float,
) -> None:
    """Run the largest batch forward and backward before hours depend on it; leaves no trace.

    Raises:
        RuntimeError: it does not fit in memory; the message says what to change.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            with autocast():
                batch = dataset[cuts].to(device)
                loss, _ = batch_loss(part, model, batch, model.config.quantizers - 1, 0.0)
            if loss.requires_grad:
                loss.backward()
        except (RuntimeError, MemoryError) as error:
            if not isinstance(error, torch.OutOfMemoryError | MemoryError) and (
                "can't allocate memory" not in str(error)
            ):
                raise
            longest = max(cut.duration for cut in cuts)
            raise RuntimeError(
                f"the largest batch, {len(cuts)} cuts of up to {longest:.1f} s, does not fit in "
                f"memory on {device}. Lower batch_seconds (now {batch_seconds:g}; try "
                f"{max(batch_seconds / 2, longest):.0f} and twice `accumulate`), lower "
                "limits.max_seconds, set gradient_checkpointing: true, or precision: bf16."
            ) from error
    model.zero_grad(set_to_none=True)
    if device.type == "cuda":
        torch.cuda.empty_cache()


def average_rate(kind: str | None, step: int) -> float:
    """How far the averaged weights move to the current ones after a step.

    "ema" follows with a decay that grows to 0.999; "periodic" takes in every 100th step and is
    about the mean of the last ten that it took.
    """
    if kind == "ema":
        return 1 - min(0.999, (1 + step) / (10 + step))
    if step <= 100:
        return 1.0
    return 1 / min(step // 100, 10) if step % 100 == 0 else 0.0


@torch.no_grad()
def assign(parameters: dict[str, Any], values: dict[str, Tensor]) -> None:
    """Copy values into the tensors of the same names."""
    for name, parameter in parameters.items():
        parameter.copy_(values[name])


@contextmanager
def exchanged(parameters: dict[str, Any], values: dict[str, Tensor]) -> Iterator[None]:
    """Within the block the parameters have other values; none given, their own."""
    own = {name: parameters[name].detach().clone() for name in values}
    if values:
        assign(parameters, values)
    yield
    if values:
        assign(parameters, own)


class Metrics:
    """metrics.csv and TensorBoard events in the work folder, without what a state does not know."""

    def __init__(self, work: Path, here: Progress, rank: int) -> None:
        self.saved = False  # nothing happened since the last state
        self.file: Any = None
        if rank != 0:
            return
        path = work / "metrics.csv"
        self.file = open(path, "a", newline="", encoding="utf-8")  # noqa: SIM115
        self.file.truncate(here.metrics_bytes)
        if not here.metrics_bytes:
            csv.writer(self.file).writerow(COLUMNS)
        self.board = SummaryWriter(str(work / "tensorboard"), purge_step=here.step + 1)

    def write(
        self,
        here: Progress,
        split: str,
        result: dict[str, float],
        lr: float | None = None,
        grad_norm: float | None = None,
        speed: float | None = None,
    ) -> None:
        """One row; what validation does not have stays empty."""
        if self.file is None:
            return
        numbers = [result["loss"], result["top10_accuracy"], lr, grad_norm, speed]
        texts = ["" if number is None else f"{number:.6g}" for number in numbers]
        memory = f"{peak_memory_mb(torch.device(best_device())):.0f}"
        csv.writer(self.file).writerow([here.step, here.epoch, split, *texts, memory])
        self.file.flush()
        for name, number in zip(COLUMNS[3:], numbers, strict=False):
            if number is not None:
                self.board.add_scalar(f"{name}/{split}", number, here.step)

    def flush(self) -> int:
        """Bring everything to the disk; returns the length of metrics.csv in bytes."""
        if self.file is None:
            return 0
        self.file.flush()
        os.fsync(self.file.fileno())
        self.board.flush()
        return self.file.tell()

    def close(self) -> None:
        """Close the files."""
        if self.file is not None:
            self.file.close()
            self.board.close()


def peak_memory_mb(device: torch.device) -> float:
    """The most memory so far: of the GPU where there is one, else resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def caught_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM, SIGUSR1 or Ctrl-C sets; a second Ctrl-C acts as ever."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, frame: Any) -> None:
        stop.set()
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    signals = [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT]
    before = [signal.signal(number, handle) for number in signals]
    try:
        yield stop
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


# Several processes


def start_processes() -> tuple[int, int, torch.device]:
    """Rank, number of processes and device, from what torchrun or srun put in the environment."""
    if "WORLD_SIZE" not in os.environ and {"SLURM_PROCID", "MASTER_ADDR"} <= os.environ.keys():
        names = {"RANK": "PROCID", "WORLD_SIZE": "NTASKS", "LOCAL_RANK": "LOCALID"}
        os.environ.update({name: os.environ[f"SLURM_{key}"] for name, key in names.items()})
    rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    device = torch.device(best_device())
    if device.type == "cuda":
        # srun may show each task its own GPU alone
        local = int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count()
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    if world_size > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return rank, world_size, device


def shared_value(make: Any, rank: int, world_size: int) -> Any:
    """What `make` gives on rank 0, on every rank."""
    values = [make() if rank == 0 else None]
    if world_size > 1:
        dist.broadcast_object_list(values)
    return values[0]


def added(values: Tensor) -> Tensor:
    """Sum over all ranks."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def everywhere(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set on any rank."""
    return bool(added(torch.tensor(float(flag), device=device)) > 0)


def main() -> None:
    """`python -m revoice.training.train job.json`, what torchrun and srun start."""
    job = Job(**read_json(sys.argv[1]))
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if job.log:
        handlers = [logging.FileHandler(job.log, encoding="utf-8")]
    if int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", 0))):
        logging.disable(logging.WARNING)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=handlers
    )
    try:
        train(job)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


if __name__ == "__main__":
    main()
