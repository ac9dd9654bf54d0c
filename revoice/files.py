"""Files that are whole or absent: atomic writing, digests, JSON."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from revoice.locking import lock

# How pandas reads a table with texts: "null", "NA" and "nan" are words; what is empty is missing.
TEXTS: dict[str, Any] = {"keep_default_na": False, "na_values": [""]}
os.umask(_umask := os.umask(0))
MODE = 0o666 & ~_umask  # of files, as the system gives it to those that are just opened
WRITING = ".writing-"  # folders of what is not whole yet
PACKAGE = Path(__file__).resolve().parent
# In the project they lie beside the library, in an installed one inside it.
RESOURCES = PACKAGE / "resources"
if not RESOURCES.is_dir():
    RESOURCES = PACKAGE.parent / "resources"


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block ends well.

    Its name is the same, for writers that look at suffixes. The caller may create a file or a
    folder there. On an exception it is removed and `path` is left as it was.
    """
    path = Path(path)
    with scratch(path.parent, path.name) as folder:
        temporary = folder / path.name
        yield temporary
        if temporary.is_file():  # safetensors' are for their owner's eyes alone
            temporary.chmod(MODE)
        if path.is_dir() and temporary.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)


@contextmanager
def scratch(folder: str | Path, name: str) -> Iterator[Path]:
    """Yield a new folder in `folder`, which is removed at the end.

    So is the one that a process which was killed has left there under the same `name`: who writes
    in one holds a lock on it.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    made = Path(folder) / f"{WRITING}{hashlib.sha256(os.fsencode(name)).hexdigest()[:10]}"
    if (left := _hold(made)) is not None:
        shutil.rmtree(made, ignore_errors=True)
        os.close(left)
    try:
        made.mkdir(0o700)
    except FileExistsError:  # of another process, or nobody can tell
        made = Path(tempfile.mkdtemp(prefix=f"{made.name}-", dir=folder))
    held = _hold(made)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        if held is not None:
            os.close(held)


def _hold(folder: Path) -> int | None:
    """The number of an open folder that this process alone holds; None where that cannot be had."""
    try:
        number = os.open(folder, os.O_RDONLY)
    except OSError:  # not there, or Windows
        return None
    with suppress(BlockingIOError):
        if lock(number) is None:
            return number
    os.close(number)
    return None


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")


def read_json(path: str | Path) -> Any:
    """Read a UTF-8 JSON file; a broken one is named in the error."""
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
