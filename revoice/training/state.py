"""What an interrupted training goes on from: a folder per run that the workflow does not own."""

import logging
import math
import os
import random
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from revoice.config_training import TrainConfig
from revoice.files import scratch, sha256
from revoice.locking import lock
from revoice.training.distributed import Ranks
from revoice.training.optim import Averages, assign, stable_steps

log = logging.getLogger(__name__)

GRAD_NORM, SKIPPED, IN_ROW = 5, 6, 7  # in a `tally`, after what a `Progress` calls `interval`
FORMAT = 2  # of the states; a run's folder is named by it too
DIGITS = 16  # of a state's digest, in its name


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
    best_text_gap: float | None = None  # the AR's, see `objective.text_gap`
    without_gain: int = 0  # validations since the best
    seconds: float = 0.0
    metrics_bytes: int = 0  # how much of metrics.csv belongs to this state
    grad_norm: float = 0.0
    skipped_steps: int = 0  # whose gradient was not finite
    skipped_in_row: int = 0
    interval_seconds: float = 0.0  # since the last line of metrics
    interval: list[float] = field(default_factory=lambda: [0.0] * 5)  # as batch_loss, and frames
    total_steps: int = 0  # that the run which was here is to take
    stable_steps: int = 0  # of these, before its rate decays; 0 but with WSD
    lengthened: list[dict[str, Any]] = field(default_factory=list)  # where the rate jumped

    def ended(self, config: TrainConfig) -> bool:
        """Whether there is no step left to take."""
        if config.early_stopping and self.without_gain >= config.early_stopping:
            return True
        return self.step >= config.steps if config.steps else self.epoch >= (config.epochs or 0)

    def beyond(self, config: TrainConfig, stable: int) -> bool:
        """Whether this is where a longer run was, or one that decayed, but not after `stable`."""
        if stable != self.stable_steps and self.step > min(stable, self.stable_steps):
            return True
        if config.steps:
            return self.step > config.steps
        return (self.epoch, self.batches) > (config.epochs or 0, 0)


@dataclass
class TrainState:
    """All that decides about the weights to come, and its files in the folder `work`."""

    work: Path
    config: TrainConfig
    ranks: Ranks
    averages: Averages
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LambdaLR
    scaler: torch.amp.GradScaler
    draws: torch.Generator  # of the NAR's quantizers and prompts
    precision: str  # in which it computes; where that is `auto`, a run that goes on keeps it
    progress: Progress = field(default_factory=Progress)
    code: list[dict[str, Any]] = field(default_factory=list)  # what trained, from which step
    began: float = field(default_factory=time.monotonic)
    stored: tuple[int, ...] = ()  # what of the progress the newest file tells
    total_steps: int = 0
    writer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    writing: Future[None] | None = None
    tally: Tensor = field(init=False)  # what the device counts meanwhile, float64; see `look`

    def __post_init__(self) -> None:
        where = "cpu" if self.ranks.device.type == "mps" else self.ranks.device  # no float64
        self.tally = torch.zeros(8, dtype=torch.float64, device=where)

    def look(self) -> None:
        """Ask the device what it has counted, so that the progress tells it; waits for it."""
        here, clock = self.progress, time.monotonic()
        *here.interval, here.grad_norm, skipped, in_row = self.tally.tolist()
        here.skipped_steps, here.skipped_in_row = int(skipped), int(in_row)
        here.interval_seconds += time.monotonic() - clock

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors; to be called on every rank."""
        return {
            "format": FORMAT,
            "code": self.code,
            "precision": self.precision,
            "progress": asdict(self.progress),
            "model": {name: p.detach() for name, p in self.averages.trained.items()},
            "average": self.averages.average,
            "best": self.averages.best,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "draws": self.draws.get_state(),
            "rng": self.ranks.gather(rng_state()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Be where `state_dict` was taken; the random generators of this process as well."""
        self.code, self.progress = state["code"], Progress(**state["progress"])
        here = self.progress
        counted = [here.grad_norm, here.skipped_steps, here.skipped_in_row]
        self.tally.copy_(torch.tensor([*here.interval, *counted], dtype=torch.float64))
        if self.config.precision == "auto":
            self.precision = state["precision"]
        assign(self.averages.trained, state["model"])
        assign(self.averages.average, state["average"])
        self.averages.best = state["best"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        self.draws.set_state(state["draws"])
        set_rng_state(state["rng"][self.ranks.rank])
        self.began, self.stored = time.monotonic() - self.progress.seconds, self._position()

    def seconds(self) -> float:
        """How long the training has taken, before it was interrupted as well."""
        return time.monotonic() - self.began

    def validated(self, loss: float, text_gap: float | None = None) -> None:
        """Take down a validation; these are the best weights if there was no lower loss.

        Of equal ones the later count: durations learn on where all else is frozen.
        """
        here = self.progress
        here.validated, here.without_gain = here.step, here.without_gain + 1
        if loss < here.best_loss:
            here.without_gain = 0
        if loss <= here.best_loss:
            here.best_loss, here.best_text_gap = loss, text_gap
            here.best_step, here.best_epoch = here.step, here.epoch
            self.averages.keep_best()

    def _position(self) -> tuple[int, ...]:
        return (self.progress.step, self.progress.epoch, self.progress.validated)

    def saved(self) -> bool:
        """Whether nothing has happened since the newest file."""
        return self.stored == self._position()

    def save(self, metrics_bytes: int) -> None:
        """Write `state-{step}.{digest}.pt` beside the training, keep the newest ones.

        To be called on every rank. Raises RuntimeError where this one is not finite and should not
        be, or the last could not be written; what was there before is whole.
        """
        self.close()
        self.progress.seconds, self.progress.metrics_bytes = self.seconds(), metrics_bytes
        state, self.stored = self.state_dict(), self._position()
        if self.ranks.rank != 0:
            return
        path = self.work / f"state-{self.progress.step:09d}.pt"
        if bad := not_finite(state):
            raise RuntimeError(
                f"after step {self.progress.step} {bad} is not finite, and {path} is not written. "
                "Earlier states are whole: lower lr, or set precision: fp32."
            )
        best = state.pop("best")  # is replaced as a whole
        self.writing = self.writer.submit(self._write, path, {**copied(state), "best": best})

    def close(self) -> None:
        """Wait until the last state is written. Raises RuntimeError where it cannot be."""
        if self.writing:
            wait([self.writing])  # if this is interrupted, it is still being written
            writing, self.writing = self.writing, None
            writing.result()

    def _write(self, path: Path, state: dict[str, Any]) -> None:
        try:
            with scratch(self.work, "state") as folder:
                temporary = folder / path.name
                torch.save(state, temporary)
                with open(temporary, "rb") as file:
                    os.fsync(file.fileno())
                temporary.rename(path.with_suffix(f".{sha256(temporary)[:DIGITS]}.pt"))
        except (OSError, RuntimeError) as error:  # torch raises RuntimeError for a full disk
            raise RuntimeError(
                f"cannot write {path}: {error}. Earlier states are whole: "
                "make room and give the same command again."
            ) from error
        for old in sorted(self.work.glob("state-*.pt"))[: -self.config.keep]:
            if step_of(old) != state["progress"]["stable_steps"]:  # a longer run's way
                old.unlink()

    def resume(self, code: str) -> None:
        """Go on from the newest file that is on the way of this run, on every rank, or start anew.

        What was trained to its end by other code is set aside, and so is a broken file. Raises
        ValueError for one of another format.
        """
        stable = stable_steps(self.config, self.total_steps)
        path = self.ranks.broadcast(lambda: self._choose(code, stable))
        if path is None:
            self.progress.total_steps, self.progress.stable_steps = self.total_steps, stable
            self.code = [{"step": 0, "digest": code}]
            log.info("starting anew (%s)", self.work)
            return
        self.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        here, before = self.progress, self.code[-1]["digest"]
        self._lengthen()
        here.total_steps, here.stable_steps = self.total_steps, stable
        log.info("going on from step %d, epoch %d (%s)", here.step, here.epoch, self.work)
        if before != code:
            self.code = [*self.code, {"step": here.step, "digest": code}]
            log.info("the code has changed: %s until step %d, now %s", before, here.step, code)

    def _lengthen(self) -> None:
        """Say so where the cosine ends elsewhere than it was to, and its rate jumps."""
        here, then = self.progress, self.progress.total_steps
        if self.config.schedule != "cosine" or then in (0, self.total_steps) or not here.step:
            return
        rates = [self.schedule.get_last_lr()[0], self.schedule.lr_lambdas[0](here.step)]
        rates[0] /= self.schedule.base_lrs[0]
        jump = {"step": here.step, "from_steps": then, "to_steps": self.total_steps}
        here.lengthened.append({**jump, "rate": [round(float(rate), 4) for rate in rates]})
        log.warning(
            "%d steps become %d: the cosine's rate jumps from %.2f of its peak to %.2f "
            "(`schedule: wsd` goes on without a jump)",
            *(then, self.total_steps, *rates),
        )

    def _choose(self, code: str, stable: int) -> Path | None:
        states = sorted(self.work.glob("state-*.pt"), reverse=True)
        if broken := [path for path in states if path.suffixes[0] != f".{sha256(path)[:DIGITS]}"]:
            states = [path for path in states if path not in broken]
            names = ", ".join(path.name for path in broken)
            then = f"going back to {states[0].name}" if states else "none is left: starting anew"
            log.warning("broken, by their digests, in %s: %s; %s", self.work, names, then)
            set_aside(self.work, broken)
        for number, path in enumerate(states):
            # mapped: of what may be gigabytes, only the plain values are read
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            if state.get("format") != FORMAT:
                raise ValueError(
                    f"{path} has format {state.get('format')}, which this version of revoice does "
                    f"not know (its own is {FORMAT}): go on with the version that wrote it, or "
                    "move the file away to train anew"
                )
            at, before = Progress(**state["progress"]), state["code"][-1]["digest"]
            if at.beyond(self.config, stable):
                log.info("%s is not on the way of this run", path.name)
            elif at.ended(self.config) and at.validated == at.step and before != code:
                log.info("%s was trained to the end by other code: %s, not %s", path, before, code)
                break
            else:
                set_aside(self.work, states[:number])
                return path
        if states:
            set_aside(self.work, [*states, self.work / "metrics.csv", self.work / "tensorboard"])
        return None


def set_aside(work: Path, paths: list[Path]) -> None:
    """Move a run's files to a folder beside it, where nothing but `clean_work` removes them."""
    if not paths:
        return
    folders = (work.with_name(f"aside-{work.name}-{number}") for number in count(1))
    folder = next(folder for folder in folders if not folder.exists())
    folder.mkdir()
    log.info("set aside in %s", folder)
    # The newest state last but the curves: where this is cut short, the next run finds it first.
    for path in sorted(paths, key=lambda path: (path.suffix != ".pt", path)):
        if path.exists():
            path.rename(folder / path.name)


@contextmanager
def locked(folder: Path, wait: bool = True) -> Iterator[None]:
    """Hold a run's folder; while another process trains the same run, wait or BlockingIOError."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as file:
        try:
            missing = lock(file)
        except BlockingIOError:
            if not wait:
                raise
            log.warning("another process trains this run (%s); waiting for it to end", folder)
            missing = lock(file, wait=True)
        if missing:
            log.warning(
                "%s: %s: files are not locked here (Lustre wants the mount option flock); "
                "nobody but you sees to it that no other process trains this run",
                *(folder, missing),
            )
        yield


def step_of(state: Path) -> int:
    """The step that a file `state-{step}.{digest}.pt` was written after."""
    return int(state.name.split(".")[0].removeprefix("state-"))


def copied(value: Any) -> Any:
    """Nested dictionaries and lists with copies of their tensors, on the CPU."""
    if isinstance(value, Tensor):
        return value.to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: copied(its) for key, its in value.items()}
    return [copied(its) for its in value] if isinstance(value, list) else value


def not_finite(value: Any, name: str = "") -> str | None:
    """The name of a tensor in nested dictionaries and lists that holds an infinity or NaN."""
    if isinstance(value, Tensor):
        return None if bool(value.isfinite().all()) else name
    if isinstance(value, dict):
        items = [(f"{name}.{key}".lstrip("."), its) for key, its in value.items()]
    elif isinstance(value, list):
        items = [(f"{name}[{i}]", its) for i, its in enumerate(value)]
    else:
        return None
    return next(filter(None, (not_finite(its, key) for key, its in items)), None)


def rng_state() -> dict[str, Any]:
    """The state of every global random generator of this process, loadable without pickle."""
    name, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": [name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Put every random generator where `rng_state` found it."""
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])


def clean_work(folder: str | Path, max_age_days: float) -> list[Path]:
    """Remove the runs that nothing was written to for so long, and give them; one in use stays."""
    removed = []
    for run in sorted(Path(folder).glob("*/")):
        written = max((f.stat().st_mtime for f in run.rglob("*")), default=run.stat().st_mtime)
        if time.time() - written >= max_age_days * 86400:
            with suppress(BlockingIOError), locked(run, wait=False):
                shutil.rmtree(run)
                removed.append(run)
    return removed
