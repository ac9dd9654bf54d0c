"""For benchmarks: revisions of this project that take turns, and what the machine allows.

Each revision computes in a process of its own, from its own tree, and one at a time, round by
round, so that another load on the machine falls on all; what counts is their ratio.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
# Where a class or a function is, in today's layout and in the one before the rooms
LAYOUTS = {
    "ModelConfig": ("revoice.model.valle", "revoice.model"),
    "AR": ("revoice.model.valle", "revoice.model"),
    "NAR": ("revoice.model.valle", "revoice.model"),
    "Batch": ("revoice.training.data", "revoice.data"),
    "batch_loss": ("revoice.training.objective", "revoice.evaluation"),
    "count_positions": ("revoice.training.objective", "revoice.evaluation"),
    "make_optimizer": ("revoice.training.optim", "revoice.optim"),
    "compile_layers": ("revoice.training.compiling",),
    "gains": ("revoice.training.compiling",),
    "keep_memory": ("revoice.devices",),
    "Request": ("revoice.model.generate", "revoice.synthesis"),
    "ready": ("revoice.model.stepping",),
    "Sampling": ("revoice.model.drawing", "revoice.synthesis"),
    "synthesize": ("revoice.model.generate", "revoice.synthesis"),
    "Prompt": ("revoice.model.prompts", "revoice.presets"),
}


def load(name: str) -> Any:
    """A class or a function of the revision that this process has in its path."""
    for module in LAYOUTS[name]:
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
    raise ImportError(f"{name} is in none of {', '.join(LAYOUTS[name])}")


@contextmanager
def trees(against: str | None) -> Iterator[dict[str, Path]]:
    """Today's tree, and that of a revision in a folder of its own, which is removed at the end."""
    if against is None:
        yield {"today": ROOT}
        return
    git = ["git", "-C", str(ROOT), "worktree"]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "revision"
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), against], check=True)
        try:
            yield {"today": ROOT, against: tree}
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


class Worker:
    """A process that computes with one revision what it is asked for, again and again.

    It runs `script` with `--work` and a JSON object, says in one line of JSON when it is ready, and
    after each line that it reads what it measured.
    """

    def __init__(self, script: str, tree: Path, work: dict[str, Any]) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tree), str(ROOT)])}
        self.process = subprocess.Popen(
            [sys.executable, "-P", script, "--work", json.dumps(work)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.ready = self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process ended with {self.process.wait()}")
        return json.loads(line)

    def measure(self) -> dict[str, Any]:
        """Let it compute once more."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End it."""
        self.process.communicate()


def serve(ready: dict[str, Any], measure: Any) -> None:
    """The other side of `Worker`: measure once for each line, until there are none."""
    print(json.dumps(ready), flush=True)
    for _ in sys.stdin:
        print(json.dumps(measure()), flush=True)


def in_turns(script: str, works: dict[str, tuple[Path, Any]], rounds: int) -> dict[str, list[Any]]:
    """What each of the named works, (tree, JSON object), measured in each round."""
    workers = {name: Worker(script, *work) for name, work in works.items()}
    found: dict[str, list[Any]] = {name: [] for name in workers}
    for number in range(rounds):
        for name, worker in workers.items():
            found[name].append(worker.ready | worker.measure())
            print(f"round {number + 1}/{rounds}, {name}", file=sys.stderr)
    for worker in workers.values():
        worker.close()
    return found


def gemm_peak(dtype: torch.dtype, device: str, seconds: float = 1.0, size: int = 2048) -> float:
    """FLOP/s of the fastest of many multiplications of square matrices."""
    a = torch.randn(size, size, device=device).to(dtype)
    best, began = 0.0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        clock = time.perf_counter()
        a @ a
        synchronize(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - clock))
    return best


def synchronize(device: str) -> None:
    """Wait for what the device still computes."""
    if device == "cuda":
        torch.cuda.synchronize()


def options_of(doc: str, rounds: int, **sizes: int) -> argparse.ArgumentParser:
    """What a benchmark may be told: the model's `sizes`, where, how often, against what."""
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    for name, size in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--against", help="a revision to compare with")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    return parser


def peak_memory(device: str) -> float:
    """Most megabytes that this process has had, on a card there."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


def print_table(rows: list[dict[str, Any]]) -> None:
    """As Markdown."""
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |")
