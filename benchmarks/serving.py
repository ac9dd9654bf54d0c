"""How soon a server's speech is heard, and how much it speaks for many at once.

    python benchmarks/serving.py [--model resources/base] [--rounds 5] [--json FILE] [OPTION ...]

A server is started with the model, and what is given beside, such as `--best-of 1`, goes on to it.
First a text of three pieces is streamed, in turn with its first piece alone, which has the same
random numbers: how long until its first sound. Then each of many clients asks for one of the
hundred sentences of resources/base/sentences.txt at the same time.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psutil
import requests

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.turns import ROOT, print_table

SENTENCES = (ROOT / "resources/base/sentences.txt").read_text("utf-8").splitlines()
TEXT = [
    "The morning after the storm the whole village walked down to the beach to see the ship.",
    "Nobody could say where it had come from, for there was neither a name nor a flag on it.",
    "Only the old harbour master, who had been out all night, seemed not to be surprised at all.",
]
AT_ONCE = (1, 8, 50)
RATE = 24000


@contextmanager
def serving(
    model: str | Path, *options: str, log: IO[str] | None = None
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a server of its own, with a slash, and its process; `log`: what it says."""
    command = [sys.executable, "-m", "revoice.speaking.cli", "serve", "--model", str(model)]
    command += ["--port", "0", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT
    ) as process:
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server ended with {process.wait()}")
        try:
            yield line.split()[1], process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def ask(address: str, text: str, seed: int) -> dict[str, float]:
    """Seconds until the first sound of a text and until all of it, and how long it is."""
    asked = {"input": text, "seed": seed, "response_format": "pcm"}
    began, first, size = time.perf_counter(), 0.0, 0
    with requests.post(address, json=asked, stream=True) as answer:
        answer.raise_for_status()
        for part in answer.iter_content(None):
            first = first or time.perf_counter() - began
            size += len(part)
    return {"first": first, "all": time.perf_counter() - began, "seconds": size / 2 / RATE}


def first_sounds(address: str, rounds: int) -> list[dict[str, Any]]:
    """Of a text, and of its first piece alone, in turn."""
    texts = {"three pieces, streamed": "\n\n".join(TEXT), "the first piece alone": TEXT[0]}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in texts}
    for seed in range(rounds):
        for name, text in texts.items():
            found[name].append(ask(address, text, seed))
    rows = []
    for name, its in found.items():
        median = {key: statistics.median(one[key] for one in its) for key in its[0]}
        rows.append({"text": name} | {key: round(value, 3) for key, value in median.items()})
    pairs = zip(*found.values(), strict=True)
    ratio = statistics.median(streamed["first"] / alone["all"] for streamed, alone in pairs)
    return [row | {"ratio of the first sound": round(ratio, 2)} for row in rows]


def together(address: str, number: int, process: psutil.Process) -> dict[str, Any]:
    """So many clients, who all ask at once."""
    texts = [SENTENCES[each % len(SENTENCES)] for each in range(number)]
    began = time.perf_counter()
    with ThreadPoolExecutor(number) as clients:
        found = list(clients.map(ask, [address] * number, texts, range(number)))
    took = time.perf_counter() - began
    seconds, waited = sum(one["seconds"] for one in found), [one["first"] for one in found]
    return {
        "at once": number,
        "requests/s": round(number / took, 2),
        "times real time": round(seconds / took, 1),
        "median wait (s)": round(statistics.median(waited), 2),
        "longest wait (s)": round(max(waited), 2),
        "memory (MB)": round(process.memory_info().rss / 1e6),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="resources/base")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where the figures go")
    options, others = parser.parse_known_args()
    with serving(options.model, *others) as (begin, server):
        address, process = f"{begin}v1/audio/speech", psutil.Process(server.pid)
        ask(address, TEXT[0], 0)  # what is only done once
        first = first_sounds(address, options.rounds)
        many = [together(address, number, process) for number in AT_ONCE]
    print_table(first)
    print()
    print_table(many)
    if options.json:
        options.json.write_text(json.dumps({"first": first, "together": many, "options": others}))


if __name__ == "__main__":
    main()
