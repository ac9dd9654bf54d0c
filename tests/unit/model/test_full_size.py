"""The published size, 376.8 M parameters, works on an ordinary machine."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "helpers" / "full_size.py"
MEMORY_GB, DISK_GB = 12, 6


def test_full_size(tmp_path: Path) -> None:
    if psutil.virtual_memory().available < MEMORY_GB * 1e9:
        pytest.skip(f"needs {MEMORY_GB} GB of free memory")
    if shutil.disk_usage(tmp_path).free < DISK_GB * 1e9:
        pytest.skip(f"needs {DISK_GB} GB of free disk")
    try:
        process = subprocess.run(
            [sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False
        )
    finally:
        for path in tmp_path.iterdir():
            path.unlink()
    assert process.returncode == 0, process.stderr
    report = json.loads(process.stdout)
    assert round(report["parameters"] / 1e6, 1) == 376.8
    assert report["recognized"]
    assert report["equal"]
    assert 6 < report["ar_loss"] < 10
    assert 6 < report["nar_loss"] < 10
    assert report["ar_moved"]
    assert report["nar_moved"]
    assert report["codes"] == [150, 8]
    assert report["peak_gb"] < MEMORY_GB
