"""Benchmarks run, and say what they measured; how fast is no test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--width", "32", "--layers", "2", "--heads", "2", "--rounds", "2"]
BENCHMARKS = {
    "training": ["--seconds", "3", "--steps", "2", "--part", "nar"],
    "synthesis": ["--frames", "20", "--prompt-frames", "15", "--batch", "2"],
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark(tmp_path: Path, name: str) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, f"benchmarks/{name}.py", *SMALL, *BENCHMARKS[name]]
    run = subprocess.run(
        [*command, "--json", figures], cwd=ROOT, text=True, capture_output=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    header, _, row = run.stdout.splitlines()[:3]
    names, told = ([cell.strip() for cell in line.split("|")[1:-1]] for line in (header, row))
    (known,) = json.loads(figures.read_text())["rows"]
    assert names == list(known)
    assert told == [str(value) for value in known.values()]
    assert known["code"] == "today"
    assert known["frames/s"] > 0
    assert known["times"] == 1.0
