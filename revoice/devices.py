"""Where tensors are computed."""

import ctypes
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from revoice.locking import lock

log = logging.getLogger(__name__)
WAIT = 2.0  # seconds between two looks at cards that others hold
_claimed: list[IO[str]] = []  # files that this process holds until it ends


def best_device() -> str:
    """`cuda` where there is such a GPU, `mps` where there is Apple's, else `cpu`."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def sent(x: Tensor, device: torch.device | str) -> Tensor:
    """A tensor on a device. From the CPU to a GPU it goes by pinned memory: nobody waits for it."""
    gpu = torch.device(device).type == "cuda"
    if gpu and x.device.type == "cpu":
        x = x.pin_memory()
    return x.to(device, non_blocking=gpu)


def claim_gpus(count: int) -> None:
    """See only `count` of this machine's cards, which no other job of ours has claimed.

    To be called before anything is computed on one. A card is claimed by a lock on a file, which
    the system lets go of however the process ends. Where too few are free, wait for them. Nothing
    is claimed where `CUDA_VISIBLE_DEVICES` names no more cards than that, as in a job that SLURM
    gave its own, or where the machine has fewer.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    cards = visible.split(",") if visible else list(map(str, range(torch.cuda.device_count())))
    if not count or len(cards) < count or (visible and len(cards) == count):
        return
    told = False
    while len(free := _lock_free(cards, count)) < count:
        for file in free.values():
            file.close()
        if not told:
            log.warning(
                "%d of %d cards are free, not %d: waiting for other jobs to end",
                *(len(free), len(cards), count),
            )
        told = True
        time.sleep(WAIT)
    if told:
        log.info("waited: going on with %s", ", ".join(free))
    _claimed.extend(free.values())
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(free)


def _lock_free(cards: list[str], count: int) -> dict[str, IO[str]]:
    """Lock cards that nobody has locked, at most so many; gives their files."""
    user = os.getuid() if hasattr(os, "getuid") else 0  # Windows
    free: dict[str, IO[str]] = {}
    for card in cards:
        # in each allocation of SLURM cards may be counted from 0, and they are its own
        job = os.environ.get("SLURM_JOB_ID", "")
        name = f"revoice-{user}-gpu-{job}-{card.replace('/', '-')}"
        file = open(Path(tempfile.gettempdir()) / name, "a", encoding="utf-8")  # noqa: SIM115
        try:
            lock(file)
        except BlockingIOError:
            file.close()
            continue
        free[card] = file
        if len(free) == count:
            break
    return free


def keep_memory() -> None:
    """Let this process keep the memory that tensors free, where the system's allocator can.

    glibc gives large blocks back and gets them anew, page by page, which costs a tenth of a step.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another libc
        return
    # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD
    for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 2**26)):
        mallopt(option, value)
