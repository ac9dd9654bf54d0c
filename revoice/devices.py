"""Where tensors are computed."""

import ctypes
import logging
import os
import tempfile
from pathlib import Path
from typing import IO

import torch

from revoice.locking import lock

log = logging.getLogger(__name__)
_claimed: list[IO[str]] = []  # files that this process holds until it ends


def best_device() -> str:
    """`cuda` where there is such a GPU, `mps` where there is Apple's, else `cpu`."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def claim_gpus(count: int) -> None:
    """See only `count` of this machine's cards, which no other job of ours has claimed.

    To be called before anything is computed on one. Where no more than that many are visible, as
    in a job that SLURM gave its cards, nothing changes. A card is claimed by a lock on a file,
    which the system lets go of however the process ends. Where too few are free, all stay visible.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    cards = visible.split(",") if visible else list(map(str, range(torch.cuda.device_count())))
    if not count or len(cards) <= count:
        return
    user = os.getuid() if hasattr(os, "getuid") else 0  # Windows
    free: dict[str, IO[str]] = {}
    for card in cards:
        name = f"revoice-{user}-gpu-{card.replace('/', '-')}"
        file = open(Path(tempfile.gettempdir()) / name, "a", encoding="utf-8")  # noqa: SIM115
        try:
            lock(file)
        except BlockingIOError:
            file.close()
            continue
        free[card] = file
        if len(free) == count:
            _claimed.extend(free.values())
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(free)
            return
    for claimed in free.values():
        claimed.close()
    log.warning("%d of %d cards are free, not %d", len(free), len(cards), count)


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
