"""What a training says of itself: metrics.csv, TensorBoard events, progress bar, log."""

import csv
import logging
import os
import resource
import sys
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from revoice.devices import best_device
from revoice.training.state import Progress

log = logging.getLogger(__name__)

COLUMNS = ["step", "epoch", "split", "loss", "top10_accuracy", "learning_rate", "grad_norm"]
COLUMNS += ["frames_per_second", "peak_memory_mb"]


class Metrics:
    """metrics.csv and TensorBoard events in the work folder, without what a state does not know.

    Args:
        here: the run that goes on; what was written after it is taken away.
        total_steps: where the progress bar ends.
        title: what stands before the bar.
        rank: only rank 0 writes and shows anything.
    """

    def __init__(
        self, work: Path, here: Progress, total_steps: int, title: str, rank: int = 0
    ) -> None:
        self.path, self.total_steps = work / "metrics.csv", total_steps
        self.bar = tqdm(
            total=total_steps,
            initial=here.step,
            desc=title,
            unit="step",
            disable=rank != 0 or not sys.stderr.isatty(),
        )
        self.file: Any = None
        if rank != 0:
            return
        self.file = open(self.path, "a", newline="", encoding="utf-8")  # noqa: SIM115
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

    def show(
        self, here: Progress, result: dict[str, float], lr: float, speed: float, seconds: float
    ) -> None:
        """The same of training, on the bar or as a line of the log; `seconds` have passed."""
        loss, top10 = result["loss"], result["top10_accuracy"]
        self.bar.set_postfix(loss=loss, top10=top10, frames_s=speed)
        if self.bar.disable:
            left = seconds / here.step * max(0, self.total_steps - here.step)
            log.info(
                "step %d/%d, epoch %d: loss %.4f, top10 %.4f, lr %.2e, %d frames/s, %s left",
                *(here.step, self.total_steps, here.epoch, loss, top10, lr, speed),
                tqdm.format_interval(left),
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


def peak_memory_mb(device: torch.device) -> float:
    """The most memory so far: of the GPU where there is one, else resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
