"""Locks on files, and systems that have none."""

import errno
import fcntl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from revoice import locking
from revoice.locking import lock

HOLDS = """
import sys
from revoice.locking import lock
file = open(sys.argv[1], "a")
assert lock(file, shared=len(sys.argv) > 2) is None
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("shared", [False, True])
def test_another_process_holds_it(tmp_path: Path, shared: bool) -> None:
    command = [sys.executable, "-c", HOLDS, str(tmp_path / "lock"), *["shared"] * shared]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as other, open(tmp_path / "lock", "a") as file:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError):
            lock(file)
        if shared:
            assert lock(file, shared=True) is None
        other.kill()  # which lets go of it
        other.wait()
        assert lock(file, wait=True) is None


@pytest.mark.parametrize("error", ["ENOSYS", "ENOTSUP", "ENOLCK"])
def test_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    def flock(*_: Any) -> None:
        raise OSError(getattr(errno, error), "Function not implemented")

    with open(tmp_path / "lock", "a") as file:
        monkeypatch.setattr(fcntl, "flock", flock)
        assert lock(file) == "Function not implemented"
        monkeypatch.setattr(fcntl, "flock", lambda *_: raise_(PermissionError(1, "no")))
        with pytest.raises(PermissionError):
            lock(file)


def raise_(error: Exception) -> None:
    raise error


def test_a_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "fcntl", None)  # Windows
    with open(tmp_path / "lock", "a") as file:
        assert lock(file) == "this system has no such locks"
