"""How fast a step of training is, today's code beside that of another revision.

    python benchmarks/training.py [--part ar] [--width 256] [--layers 4] [--heads 4] [--seconds 40]
        [--precision auto] [--dropout 0.1] [--device cpu] [--compile | --no-compile]
        [--against REVISION] [--json FILE]

The batch is the same for all: random codes at 75 frames/s, utterances of 80 to 100 % of at most
five seconds, 15 symbols of text each second. What counts is the mean of steps in a row, after which
a GPU is waited for, and of the rounds the median. `of GEMM's peak` is the share of what the
machine's matrix multiplication reaches, measured in the same run, that a step reaches with its
multiplications, those of padding not counted.
"""

import argparse
import json
import statistics
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.turns import (
    gemm_peak,
    in_turns,
    load,
    options_of,
    peak_memory,
    print_table,
    serve,
    synchronize,
    trees,
)

RATE, SYMBOLS = 75, 15  # frames and symbols of a second


def lengths(seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Frames and symbols of the utterances of a batch."""
    number = int(np.ceil(seconds / 5))
    longest = seconds / number * RATE
    frames = (np.random.default_rng(1).uniform(0.8, 1, number) * longest).astype(int)
    frames[0] = longest
    return frames, frames * SYMBOLS // RATE


def flops(work: dict[str, Any]) -> float:
    """Of all multiplications of a step: twice for each product, three times for the gradients."""
    width, frames, symbols = work["width"], *lengths(work["seconds"])
    audio = frames + 1 if work["part"] == "ar" else frames
    positions = (audio + symbols).sum()
    if work["part"] == "ar":
        seen = (symbols * symbols + audio * symbols + audio * (audio + 1) / 2).sum()
    else:
        seen = ((audio + symbols) ** 2).sum()
    of_layers = work["layers"] * (12 * width**2 * positions + 2 * width * seen)
    return 3 * 2 * float(of_layers + 1024 * width * audio.sum())


def serve_steps(work: dict[str, Any]) -> None:
    """Train steps whenever asked for."""
    device, part = work["device"], work["part"]
    torch.manual_seed(1)
    with suppress(ImportError):  # as a training of this revision begins
        load("keep_memory")()
    model = load("AR" if part == "ar" else "NAR")(
        load("ModelConfig")(
            layout="valle",
            text_symbols=100,
            **{key: work[key] for key in ("width", "layers", "heads", "dropout")},
        )
    )
    model.to(device).train()
    with suppress(ImportError):
        if load("gains")(torch.device(device)) if work["compile"] is None else work["compile"]:
            load("compile_layers")(model)
    config = argparse.Namespace(optimizer="adamw", lr=1e-4, weight_decay=0.01)
    optimizer = load("make_optimizer")(model.named_parameters(), config)
    frames, symbols = map(torch.from_numpy, lengths(work["seconds"]))
    text = torch.randint(1, 100, (len(frames), int(symbols.max())))
    codes = torch.randint(0, 1024, (len(frames), int(frames.max()), 8))
    batch = load("Batch")(text, symbols, codes, frames)
    batch_loss, count = load("batch_loss"), load("count_positions")
    dtype = getattr(torch, work["dtype"])

    def step(number: int) -> None:
        here = batch.to(device)
        with torch.autocast(device, dtype, enabled=dtype != torch.float32):
            loss, _ = batch_loss(part, model, here, number % 7 + 1, 0.25)
        (loss / count(part, batch, 0.25)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def measure() -> dict[str, Any]:
        clock = time.perf_counter()
        for number in range(work["steps"]):
            step(number)
        synchronize(device)
        seconds = (time.perf_counter() - clock) / work["steps"]
        return {"seconds": seconds, "memory_mb": peak_memory(device)}

    measure()
    serve({}, measure)


def table(found: dict[str, list[Any]], work: dict[str, Any], peak: float) -> list[dict[str, Any]]:
    """A row for each revision, compared with the last one."""
    frames = int(lengths(work["seconds"])[0].sum())
    seconds = {n: statistics.median(r["seconds"] for r in rounds) for n, rounds in found.items()}
    base = list(seconds.values())[-1]
    return [
        {
            "code": name,
            "seconds a step": round(each, 4),
            "frames/s": round(frames / each),
            "times": round(base / each, 2),
            "of GEMM's peak": round(flops(work) / each / peak, 3),
            "memory (MB)": round(max(r["memory_mb"] for r in found[name])),
        }
        for name, each in seconds.items()
    ]


def main() -> None:
    parser = options_of(__doc__, width=256, layers=4, heads=4, rounds=5)
    parser.add_argument("--part", choices=("ar", "nar"), default="ar")
    parser.add_argument("--seconds", type=float, default=40, help="of speech in a batch")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, help="default: on GPUs")
    parser.add_argument("--steps", type=int, default=5, help="in a row")
    options = parser.parse_args()
    if options.work:
        serve_steps(json.loads(options.work))
        return
    from revoice.model.precision import DTYPES, computing  # not what another revision's steps see

    work = {k: v for k, v in vars(options).items() if k not in ("against", "json", "work")}
    dtype = DTYPES[computing(options.precision, options.device)]
    work["dtype"] = str(dtype).removeprefix("torch.")
    with trees(options.against) as folders:
        works = {name: (folder, work) for name, folder in folders.items()}
        peaks = [gemm_peak(dtype, options.device)]
        found = in_turns(__file__, works, options.rounds)
        peaks.append(gemm_peak(dtype, options.device))
    rows = table(found, work, max(peaks))
    print_table(rows)
    print(f"\n{work['dtype']}; GEMM: {max(peaks) / 1e9:.0f} GFLOP/s")
    if options.json:
        options.json.write_text(json.dumps({"work": work, "peak": max(peaks), "rows": rows}))


if __name__ == "__main__":
    main()
