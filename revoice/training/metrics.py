"""What a training says of itself: metrics.csv, TensorBoard events, progress bar, log."""

import csv
import logging
import os
import sys
from pathlib import Path
from typing import Any

import psutil
import torch
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from revoice.training.state import Progress

try:
    import resource
except ModuleNotFoundError:  # Windows
    resource = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

COLUMNS = ["step", "epoch", "split", "loss", "top10_accuracy", "learning_rate", "grad_norm"]
# the last: the AR's on dev, with another utterance's text; near `loss`: it reads none
COLUMNS += ["frames_per_second", "peak_memory_mb", "swap_loss"]
COLUMNS += ["skipped_steps"]  # so far, since their gradients were not finite


class Metrics:
    """metrics.csv and TensorBoard events in the work folder, and a progress bar, all by rank 0.

    What was written after the state `here`, which the run goes on from, is taken away.
    """

    def __init__(self, work: Path, here: Progress, total: int, title: str, rank: int) -> None:
        hidden = rank != 0 or not sys.stderr.isatty()
        self.bar = tqdm(total=total, initial=here.step, desc=title, unit="step", disable=hidden)
        self.file: Any = None
        if rank != 0:
            return
        self.file = open(work / "metrics.csv", "a", newline="", encoding="utf-8")  # noqa: SIM115
        self.file.truncate(here.metrics_bytes)
        if not here.metrics_bytes:
            csv.writer(self.file).writerow(COLUMNS)
        self.board = SummaryWriter(str(work / "tensorboard"), purge_step=here.step + 1)

    def write(self, here: Progress, split: str, result: dict[str, float], *more: float) -> None:
        """A row, and a line of log or bar; `more`: learning rate, gradient norm, frames per s."""
        if self.file is None:
            return
        numbers = [result["loss"], result["top10_accuracy"], *more]
        texts = [f"{number:.6g}" for number in numbers] + [""] * (5 - len(numbers))
        swapped = f"{result['swap_loss']:.6g}" if "swap_loss" in result else ""
        memory = f"{peak_memory_mb():.0f}"
        row = [here.step, here.epoch, split, *texts, memory, swapped, here.skipped_steps]
        csv.writer(self.file).writerow(row)
        self.file.flush()
        for name, number in zip(COLUMNS[3:], numbers, strict=False):
            self.board.add_scalar(f"{name}/{split}", number, here.step)
        if split == "dev":
            other = f", with others' texts {result['swap_loss']:.4f}" if swapped else ""
            log.info("step %d: dev loss %.4f, top10 %.4f%s", here.step, *numbers, other)
            if swapped:
                self.board.add_scalar("swap_loss/dev", result["swap_loss"], here.step)
            return
        loss, top10, lr, _, speed = numbers
        self.bar.set_postfix(loss=loss, top10=top10, frames_s=speed)
        if self.bar.disable:
            total = self.bar.total
            left = tqdm.format_interval(here.seconds / here.step * max(0, total - here.step))
            log.info(
                "step %d/%d, epoch %d: loss %.4f, top10 %.4f, lr %.2e, %d frames/s, %s left",
                *(here.step, total, here.epoch, loss, top10, lr, speed, left),
            )

    def flush(self) -> int:
        """Bring everything to the disk; returns the length of metrics.csv in bytes."""
        if self.file is None:
            return 0
        self.file.flush()
        os.fsync(self.file.fileno())
        self.board.flush()
        return self.file.tell()

    def close(self) -> None:
        """Close the files and the bar."""
        self.bar.close()
        if self.file is not None:
            self.file.close()
            self.board.close()


def peak_memory_mb() -> float:
    """The most memory so far: of the GPU where there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    if resource is None:
        return psutil.Process().memory_info().rss / 2**20
    unit = 1 if sys.platform == "darwin" else 2**10  # bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
