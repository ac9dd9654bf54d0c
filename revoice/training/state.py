"""What an interrupted training goes on from: a folder per run that the workflow does not own."""

import fcntl
import gzip
import hashlib
import json
import logging
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from revoice.files import atomic, sha256

log = logging.getLogger(__name__)


def digest_cuts(path: str | Path) -> str:
    """Digest of what a manifest of cuts holds and of the code files that it names.

    The manifest's own compression does not count: gzip stores the time.
    """
    digest, stores = hashlib.sha256(), set()
    with gzip.open(path, "rb") as file:
        for line in file:
            digest.update(line)
            stores.add(json.loads(line)["custom"]["codes"]["array"]["storage_path"])
    for store in sorted(stores):
        digest.update(sha256(store).encode())
    return digest.hexdigest()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run's folder; while another process trains the same run, wait for it."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.warning("another process trains this run (%s); waiting for it to end", folder)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def save_state(folder: Path, state: dict[str, Any], keep: int) -> None:
    """Write the state of `state["step"]` and keep the `keep` newest.

    Raises:
        RuntimeError: it cannot be written; what was there before is whole.
    """
    path = folder / f"state-{state['step']:09d}.pt"
    try:
        with atomic(path) as temporary:
            torch.save(state, temporary)
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:  # torch raises RuntimeError for a full disk
        raise RuntimeError(
            f"cannot write {path}: {error}. Earlier states are whole: "
            "make room and give the same command again."
        ) from error
    for old in _states(folder)[keep:]:
        old.unlink()


def load_state(folder: Path, accept: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
    """The newest state that `accept` takes, on the CPU, or None."""
    for path in _states(folder):
        state = torch.load(path, map_location="cpu", weights_only=True)
        if accept(state):
            return state
        log.info("%s is not on the way of this run", path.name)
    return None


def _states(folder: Path) -> list[Path]:
    return sorted(folder.glob("state-*.pt"), reverse=True)


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
    """Remove the runs in a work folder that nothing was written to for `max_age_days`.

    A run that is being trained stays. Returns the folders that were removed.
    """
    removed = []
    for run in sorted(Path(folder).glob("*/")):
        written = max((f.stat().st_mtime for f in run.rglob("*")), default=run.stat().st_mtime)
        if time.time() - written < max_age_days * 86400:
            continue
        if (run / "lock").exists():
            with open(run / "lock") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
        shutil.rmtree(run)
        removed.append(run)
    return removed
