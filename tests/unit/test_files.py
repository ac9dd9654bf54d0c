"""Files that are whole or absent."""

import hashlib
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from revoice.files import atomic, read_json, sha256, write_json


def test_atomic_writes_a_file_and_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "cuts.jsonl.gz"
    with atomic(path) as temporary:
        assert temporary.name.endswith(".jsonl.gz")
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["cuts.jsonl.gz"]


def test_atomic_leaves_the_old_file_on_an_exception(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half"), atomic(path) as temporary:  # noqa: PT012
        temporary.write_text("new, but only ha")
        raise RuntimeError("half")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_replaces_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").touch()
    with atomic(path) as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
    assert [p.name for p in path.iterdir()] == ["new"]
    with pytest.raises(RuntimeError), atomic(path) as temporary:  # noqa: PT012
        temporary.mkdir()
        (temporary / "half").touch()
        raise RuntimeError
    assert [p.name for p in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_complains_where_nothing_was_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), atomic(path):
        pass
    assert path.read_text() == "old"


def test_atomic_files_are_as_readable_as_others(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with atomic(tmp_path / "written") as temporary:
        temporary.touch()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "written")]
    assert modes[0] == modes[1]


def test_what_safetensors_writes_is_as_readable_as_others(tmp_path: Path) -> None:
    with atomic(tmp_path / "weights.safetensors") as temporary:
        save_file({"a": np.zeros(3)}, temporary)
    (tmp_path / "other").touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from revoice.files import atomic
with atomic(sys.argv[1]) as temporary:
    temporary.write_text("half")
    if len(sys.argv) > 2:
        print("writing", flush=True)
        sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_goes_with_the_next_one(tmp_path: Path) -> None:
    path, other = tmp_path / "table.csv", tmp_path / "other.csv"
    for left in (path, other):
        killed = subprocess.run([sys.executable, "-c", KILLED, left], check=False)
        assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    with atomic(path) as temporary:
        assert len(list(tmp_path.iterdir())) == 2  # another one's is not its own
        temporary.write_text("whole")
    with atomic(other) as temporary:
        temporary.write_text("whole")
    assert sorted(tmp_path.iterdir()) == [other, path]


def test_what_another_process_is_writing_stays(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", KILLED, path, "slowly"], **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        (theirs,) = tmp_path.iterdir()
        with atomic(path) as temporary:
            temporary.write_text("whole")
        assert sorted(tmp_path.iterdir()) == [theirs, path]
        process.kill()


def test_sha256_of_more_than_one_block(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_json_round_trip_and_broken_files(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"ə": [1, None, "é"]})
    assert read_json(path) == {"ə": [1, None, "é"]}
    assert "ə" in path.read_text("utf-8")
    path.write_text('{"a": ')
    with pytest.raises(ValueError, match=r"value\.json is not valid JSON"):
        read_json(path)
