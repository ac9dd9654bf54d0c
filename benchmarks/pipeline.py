"""How long the default run takes, rule by rule, what is committed beside another revision.

    python benchmarks/pipeline.py [--cores 2] [--against REVISION] [--json FILE] [--keep FOLDER]

Each revision runs `snakemake` in a copy of its own, from nothing, downloads included, one after the
other; `--keep` is where the copies are made and stay, else they are removed. Where the number of
steps is to be the same, another revision's configuration has to say so.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.turns import ROOT, print_table


def run(folder: Path, revision: str, cores: int) -> dict[str, float]:
    """Seconds of each rule's jobs together in a fresh copy, and of all, as `total`."""
    copy = folder / revision
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(copy)], check=True)
    subprocess.run(["git", "-C", str(copy), "checkout", "--quiet", revision], check=True)
    environment = os.environ | {"PYTHONPATH": str(copy)}
    began = time.monotonic()
    with open(copy / "run.log", "w") as log:
        command = [sys.executable, "-m", "snakemake", "--cores", str(cores)]
        subprocess.run(command, cwd=copy, env=environment, stdout=log, stderr=log, check=True)
    seconds = defaultdict(float, total=time.monotonic() - began)
    for path in sorted((copy / "results/benchmarks").rglob("*.tsv")):
        rule = path.relative_to(copy / "results/benchmarks").parts[0].removesuffix(".tsv")
        with open(path, newline="") as file:
            seconds[rule] += sum(float(row["s"]) for row in csv.DictReader(file, delimiter="\t"))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--against", help="a revision to compare with")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--keep", type=Path, help="a folder for the copies")
    options = parser.parse_args()
    revisions = ["HEAD", *([options.against] if options.against else [])]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        found = {revision: run(folder, revision, options.cores) for revision in revisions}
    rules = sorted({rule for its in found.values() for rule in its})
    rules.sort(key=lambda rule: -found["HEAD"].get(rule, 0))
    rows = [
        {"rule": rule} | {name: round(its.get(rule, 0), 1) for name, its in found.items()}
        for rule in rules
    ]
    print_table(rows)
    if options.json:
        options.json.write_text(json.dumps({"seconds": found}))


if __name__ == "__main__":
    main()
