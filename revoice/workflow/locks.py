"""Locks that a killed run has left in a working directory."""

import logging
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from revoice.locking import lock

_alive: list[IO[str]] = []  # files that this process holds until it ends


def free_stale_locks(folder: Path) -> None:
    """Remove Snakemake's locks from a `.snakemake` when the run that took them is gone.

    A run that was killed leaves them, and the next one would be told to use `--unlock`. So every
    run holds the file `alive` as long as it lives; the system lets go of it however a run ends, and
    who gets it alone is the only one. Locks taken on another machine stay: not all file systems
    tell that a process there holds a file. Not for dry runs, which take no lock and write nothing.
    """
    try:
        if not (folder / "alive").exists() and any((folder / "locks").glob("*.lock")):
            return  # of a run that holds no such file
        folder.mkdir(parents=True, exist_ok=True)
        alive = open(folder / "alive", "a+", encoding="utf-8")  # noqa: SIM115 (until the end)
        _alive.append(alive)
        with suppress(BlockingIOError):  # another run is there: its locks are its own
            if missing := lock(alive):
                raise OSError(missing)
            alive.seek(0)
            here = alive.read() == socket.gethostname()
            locks = list((folder / "locks").glob("*.lock"))
            if locks and here:
                print("A run here was killed: going on where it was.", file=sys.stderr)
                for left in locks:
                    left.unlink()
            elif not locks and not here:
                alive.truncate(0)
                alive.write(socket.gethostname())
                alive.flush()
        lock(alive, shared=True, wait=True)
    except OSError as error:  # no file locks here: Snakemake's own stay, as they are
        logging.getLogger(__name__).warning("stale locks are not looked for: %s", error)
