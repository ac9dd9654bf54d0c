"""How long Snakemake plans for a corpus of LibriTTS's size, and what memory that takes.

    python benchmarks/planning.py [--times 10] [--folder DIR]

Makes a corpus with as many files as LibriTTS in LibriTTS's layout, of no content but the right
sizes, and measures `snakemake -n` with everything to do, the job that writes the index, the same
dry run with the index there, and a run with nothing to do. Writes benchmarks/planning.md.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

ROOT = Path(__file__).resolve().parent.parent
UTTERANCES, SPEAKERS, HOURS = 375_000, 2456, 585
UTTERANCES_PER_CHAPTER = 40
BYTES_PER_SECOND = 48000  # 24 kHz, 16 bits, mono
HEADER = 44


class Measure(NamedTuple):
    """What one command took."""

    what: str
    seconds: float  # on the clock
    cpu_seconds: float  # which another load on the machine lengthens less
    load: float  # processes that wanted a CPU in the minute before
    megabytes: float
    said: str


def make_corpus(folder: Path, utterances: int, speakers: int, hours: float) -> None:
    """Sparse audio files whose sizes add up to `hours`, with transcripts as LibriTTS has them."""
    rng = random.Random(1)
    mean = hours * 3600 / utterances
    per_speaker = [utterances // speakers + (i < utterances % speakers) for i in range(speakers)]
    for speaker, number in enumerate(per_speaker):
        for first in range(0, number, UTTERANCES_PER_CHAPTER):
            chapter = folder / "train" / str(speaker) / str(first)
            chapter.mkdir(parents=True)
            stem = f"{speaker}_{first}"
            for table in ("trans", "book"):
                (chapter / f"{stem}.{table}.tsv").touch()
            for i in range(first, min(first + UTTERANCES_PER_CHAPTER, number)):
                name = f"{chapter}/{stem}_{i:06d}_000000"
                seconds = mean * rng.gammavariate(2, 0.5)
                for path, size in (
                    (f"{name}.wav", HEADER + 2 * int(seconds * BYTES_PER_SECOND / 2)),
                    (f"{name}.normalized.txt", 0),
                    (f"{name}.original.txt", 0),
                ):
                    file = os.open(path, os.O_WRONLY | os.O_CREAT)
                    os.truncate(file, size)
                    os.close(file)


def snakemake(what: str, project: Path, *arguments: str) -> Measure:
    """Run Snakemake in the project; raises RuntimeError with its output when it fails."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(project), "--configfile", str(project / "config.json")]
    with tempfile.TemporaryFile("w+") as out:
        load, began = os.getloadavg()[0], time.monotonic()
        process = subprocess.Popen([*command, *arguments], stdout=out, stderr=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - began
        cpu = usage.ru_utime + usage.ru_stime
        out.seek(0)
        said = out.read()
    if process.returncode:
        raise RuntimeError(f"{what}: {said[-3000:]}")
    return Measure(what, seconds, cpu, load, usage.ru_maxrss / 1024, said)


def pretend_done(project: Path) -> int:
    """Create every output that the workflow would make and that is not there, all of one age."""
    summary = snakemake("summary", project, "--summary").said
    lines = summary.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("output_file\t"))
    outputs = [line.split("\t")[0] for line in lines[start + 1 :] if "\t" in line]
    for output in outputs:
        path = project / output
        # outputs without a suffix are folders
        if path.exists():
            continue
        if path.suffix:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}" if path.suffix == ".json" else "")
        else:
            path.mkdir(parents=True, exist_ok=True)
            (path / ".snakemake_timestamp").touch()
    now = time.time()
    for output in outputs:
        path = project / output
        for one in (path, path / ".snakemake_timestamp"):
            if one.exists():
                os.utime(one, (now, now))
    return len(outputs)


def measure(folder: Path, times: int) -> tuple[str, list[Measure]]:
    """All measures of a corpus `times` as large as LibriTTS, and what it is."""
    utterances, hours = UTTERANCES * times, HOURS * times
    corpus, project = folder / "corpus", folder / "project"
    project.mkdir(parents=True)
    make_corpus(corpus, utterances, SPEAKERS * times, hours)
    stage = {"lr": 1e-3, "steps": 1000}
    config = {
        "corpora": {"big": {"kind": "libritts", "path": str(corpus), "languages": ["en"]}},
        "experiments": {"first": {"corpora": ["big"], "ar": stage, "nar": stage}},
    }
    (project / "config.json").write_text(json.dumps(config))
    index = "results/corpora/big/index.json"
    measures = [
        snakemake("`snakemake -n`, everything to do", project, "-n"),
        snakemake("`snakemake --cores 1`, the index alone", project, "--cores", "1", index),
        snakemake("`snakemake -n`, everything to do, index there", project, "-n"),
    ]
    outputs = pretend_done(project)
    again = snakemake("`snakemake --cores 1`, nothing to do", project, "--cores", "1")
    if "Nothing to be done" not in again.said:
        raise RuntimeError(f"there was something to do:\n{again.said[-3000:]}")
    shards = len(list((project / "results/corpora/big/shards").glob("*.tsv")))
    what = (
        f"{utterances:,} utterances, {SPEAKERS * times:,} speakers, {hours:,} hours: "
        f"{shards:,} shards, {outputs:,} output files"
    )
    return what, [*measures, again]


@contextmanager
def work_folder(parent: str | None) -> Iterator[Path]:
    """A folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="planning-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--times", type=int, nargs="+", default=[1], help="LibriTTS's size, so often"
    )
    parser.add_argument("--folder", help="where to make the files (default: the system's)")
    parser.add_argument("--out", default=ROOT / "benchmarks/planning.md", type=Path)
    arguments = parser.parse_args()
    memory = psutil.virtual_memory().total / 2**30
    lines = [
        "# Planning",
        "",
        f"`python {' '.join(['benchmarks/planning.py', *sys.argv[1:]])}` on "
        f"{psutil.cpu_count()} CPUs, {memory:.0f} GB. Whole commands, Python's start included; "
        "memory is the peak resident size. Where the load is above the number of CPUs, the clock "
        "also measures others' work: look at the CPU seconds.",
    ]
    for times in arguments.times:
        with work_folder(arguments.folder) as folder:
            what, measures = measure(folder, times)
        head = ["| | seconds | CPU seconds | load before | MB |", "|---|---:|---:|---:|---:|"]
        lines += ["", what + ".", "", *head]
        for m in measures:
            numbers = [f"{m.seconds:.1f}", f"{m.cpu_seconds:.1f}", f"{m.load:.1f}"]
            lines.append(f"| {' | '.join([m.what, *numbers, f'{m.megabytes:.0f}'])} |")
    arguments.out.write_text("\n".join(lines) + "\n", "utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
