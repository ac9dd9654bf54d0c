"""Another workflow takes this one as a module, and goes on from what it makes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

OUTER = """
configfile: "outer.yaml"


module revoice:
    snakefile:
        "{snakefile}"
    config:
        config["revoice"]


use rule * from revoice


rule count:
    default_target: True
    input:
        "results/corpora/tones/recordings.jsonl.gz",
    output:
        "count.txt",
    shell:
        "gzip -dc {{input}} | wc -l > {{output}}"
"""
CONFIG = {
    "corpora": {"tones": {"kind": "folder", "path": "recordings"}},
    "experiments": {
        "demo": {
            "corpora": ["tones"],
            "tokenizer": "vallex",
            "codec": "world",
            "ar": {"steps": 2},
            "nar": {"steps": 2},
        }
    },
}
FILES = 5


@pytest.fixture
def outer(project: Path, tmp_path: Path) -> Path:
    """A folder with the other workflow, its configuration, and recordings of tones."""
    (tmp_path / "Snakefile").write_text(OUTER.format(snakefile=project / "Snakefile"))
    (tmp_path / "outer.yaml").write_text(yaml.safe_dump({"revoice": CONFIG}))
    # of this workflow, but not read: the module's configuration is the outer one's
    (tmp_path / "config.yaml").write_text("corpora: {}\n")
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    seconds = np.arange(16000) / 16000
    for i in range(FILES):
        tone = 0.1 * np.sin(2 * np.pi * (200 + 40 * i) * seconds)
        soundfile.write(recordings / f"tone{i}.wav", tone, 16000)
        (recordings / f"tone{i}.txt").write_text("la " * (i + 1))
    return tmp_path


def run(folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--nocolor", *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_jobs_of_this_workflow_are_known_to_the_other(outer: Path) -> None:
    rules = run(outer, "all", "--dry-run").split()
    for rule in "resample manifests encode train_ar train_nar assemble evaluate score".split():
        assert rule in rules


def test_the_other_workflow_goes_on_from_results(outer: Path, project: Path) -> None:
    printed = run(outer)
    assert (outer / "count.txt").read_text().strip() == str(FILES), printed
    assert not (project / "results").exists()
    assert "Nothing to be done" in run(outer)
