"""What scripts and rules share."""

import subprocess
import sys
from pathlib import Path

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
