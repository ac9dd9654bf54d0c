"""Locks of killed runs go, those of living ones stay."""

import subprocess
import sys
from pathlib import Path

from revoice.workflow.locks import free_stale_locks

HOLD = """
import sys
from pathlib import Path
from revoice.workflow.locks import free_stale_locks

free_stale_locks(Path(".snakemake"))
found = sorted(path.name for path in Path(".snakemake/locks").glob("*"))
Path(".snakemake/locks").mkdir(exist_ok=True)
Path(".snakemake/locks/0.input.lock").touch()
print(found, flush=True)  # once this is read, the process may be killed
sys.stdin.read()
"""


def started(folder: Path, host: str = "") -> subprocess.Popen[str]:
    """A process that holds the folder's lock until its standard input ends."""
    elsewhere = f"import socket; socket.gethostname = lambda: {host!r}\n" if host else ""
    return subprocess.Popen(
        [sys.executable, "-c", elsewhere + HOLD],
        cwd=folder,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def locks_seen(process: subprocess.Popen[str]) -> str:
    """The locks that a process has found; then it is killed."""
    assert process.stdout
    line = process.stdout.readline().strip()
    process.kill()
    process.communicate()
    return line


def test_locks_of_a_killed_run_go(tmp_path: Path) -> None:
    assert locks_seen(started(tmp_path)) == "[]"
    assert (tmp_path / ".snakemake/locks/0.input.lock").exists()
    assert locks_seen(started(tmp_path)) == "[]"


def test_locks_of_a_living_run_stay(tmp_path: Path) -> None:
    first = started(tmp_path)
    assert first.stdout
    assert first.stdout.readline() == "[]\n"
    for _ in range(2):  # what the second holds when it dies is not the first's
        assert locks_seen(started(tmp_path)) == "['0.input.lock']"
    first.kill()
    first.communicate()
    assert locks_seen(started(tmp_path)) == "[]"


def test_locks_from_another_machine_stay(tmp_path: Path) -> None:
    assert locks_seen(started(tmp_path, host="another")) == "[]"
    for _ in range(2):
        assert locks_seen(started(tmp_path)) == "['0.input.lock']"
    (tmp_path / ".snakemake/locks/0.input.lock").unlink()  # snakemake --unlock
    assert locks_seen(started(tmp_path)) == "[]"
    assert locks_seen(started(tmp_path)) == "[]"


def state_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of every file and folder."""
    return {
        str(path): (b"" if path.is_dir() else path.read_bytes(), path.stat().st_mtime_ns)
        for path in [folder, *folder.rglob("*")]
    }


def test_nothing_is_written_while_another_run_holds_the_lock(tmp_path: Path) -> None:
    first = started(tmp_path)
    assert first.stdout
    first.stdout.readline()
    before = state_of(tmp_path)
    free_stale_locks(tmp_path / ".snakemake")
    assert state_of(tmp_path) == before
    first.kill()
    first.communicate()


def test_nothing_is_written_beside_locks_of_a_run_that_says_nothing_of_itself(
    tmp_path: Path,
) -> None:
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks/0.input.lock").touch()
    before = state_of(tmp_path)
    free_stale_locks(tmp_path)
    assert state_of(tmp_path) == before
