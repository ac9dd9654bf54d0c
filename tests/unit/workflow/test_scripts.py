"""What scripts and rules share."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from revoice.workflow import scripts as workflow
from revoice.workflow.scripts import digest_of

SCRIPT = """
import logging, warnings
from types import SimpleNamespace
from revoice.workflow.scripts import script_logging

script_logging(SimpleNamespace(log=["logs/rule/file.log"]))
logging.info("begun with %d files", 3)
warnings.warn("this is old")
{last}
"""


def run_script(folder: Path, last: str) -> tuple[int, str, str]:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(last=last)], cwd=folder, capture_output=True, text=True
    )
    return result.returncode, result.stderr, (folder / "logs/rule/file.log").read_text()


def test_script_logging_takes_messages_and_warnings(tmp_path: Path) -> None:
    code, stderr, log = run_script(tmp_path, "")
    assert (code, stderr) == (0, "")
    assert "INFO begun with 3 files" in log
    assert "this is old" in log


def test_script_logging_takes_exceptions(tmp_path: Path) -> None:
    code, stderr, log = run_script(tmp_path, "raise ValueError('x.wav is empty: remove it')")
    assert code == 1
    assert "ValueError: x.wav is empty: remove it" in stderr
    assert "logs/rule/file.log" in stderr
    assert "Traceback" not in stderr
    assert "Traceback" in log
    assert "begun with 3 files" in log


def test_script_logging_begins_anew(tmp_path: Path) -> None:
    run_script(tmp_path, "raise ValueError('the first time')")
    assert "the first time" not in run_script(tmp_path, "")[2]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the library whose files may change."""
    folder = tmp_path / "revoice"
    shutil.copytree(workflow.PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(workflow, "PACKAGE", folder)
    return folder


def test_digest_changes_with_the_module_named_and_no_other(package: Path) -> None:
    before = digest_of("revoice.corpus.audio"), digest_of("revoice.files"), digest_of("revoice")
    with (package / "audio.py").open("a") as file:
        file.write("# edited\n")
    after = digest_of("revoice.corpus.audio"), digest_of("revoice.files"), digest_of("revoice")
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, True, False]


def test_digest_of_a_package_covers_its_files(package: Path) -> None:
    sub = package / "made_up"
    sub.mkdir()
    (sub / "__init__.py").touch()
    seen = {digest_of("revoice.made_up")}
    (sub / "part.py").write_text("a = 1\n")
    seen.add(digest_of("revoice.made_up"))
    (sub / "table.json").write_text("{}")
    seen.add(digest_of("revoice.made_up"))
    (sub / "part.py").rename(sub / "renamed.py")
    seen.add(digest_of("revoice.made_up"))
    assert len(seen) == 4
    (sub / "__pycache__").mkdir()
    (sub / "__pycache__" / "part.pyc").write_bytes(b"compiled")
    assert digest_of("revoice.made_up") in seen


def test_digest_does_not_depend_on_order_place_or_repetition(package: Path) -> None:
    here = digest_of("revoice.corpus.audio", "revoice.files")
    assert digest_of("revoice.files", "revoice.corpus.audio", "revoice.files") == here
    elsewhere = package.rename(package.parent / "elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workflow, "PACKAGE", elsewhere)
        assert digest_of("revoice.corpus.audio", "revoice.files") == here


@pytest.mark.parametrize("name", ["revoice.codecs", "revoice.corpus.audio.resample", "numpy.audio"])
def test_digest_of_what_is_no_module(name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=name):
        digest_of(name)
