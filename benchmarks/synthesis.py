"""How fast a model speaks, today's code beside that of another revision.

    python benchmarks/synthesis.py [--width 1024] [--layers 12] [--heads 16] [--prompt-frames 150]
        [--frames 544] [--batch 1] [--weights auto] [--device cpu] [--against REVISION]
        [--json FILE]

Random weights, of which EOS never comes: every utterance is as long as it may be. 75 frames are a
second, which has 15 symbols. The other revision speaks one utterance at a time.
"""

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

from benchmarks.training import RATE, SYMBOLS
from benchmarks.turns import in_turns, load, options_of, peak_memory, print_table, serve, trees

EOS = 1024


def serve_speech(work: dict[str, Any]) -> None:
    """Speak whenever asked to."""
    torch.manual_seed(1)
    with suppress(ImportError):
        load("keep_memory")()
    sizes = {key: work[key] for key in ("width", "layers", "heads")}
    config = load("ModelConfig")(layout="valle", text_symbols=100, **sizes)
    ar, nar = (load(part)(config).to(work["device"]).eval() for part in ("AR", "NAR"))
    with torch.no_grad():  # logits are this far apart only where the hidden state is large
        ar.ar_predict_layer.weight[EOS] = 0.0
    random = np.random.default_rng(1)
    prompt_symbols = work["prompt_frames"] * SYMBOLS // RATE

    def ids(count: int) -> list[int]:
        return random.integers(1, 100, count).tolist()

    def request() -> Any:
        codes = random.integers(0, 1024, (work["prompt_frames"], 8)).astype(np.int16)
        prompt = load("Prompt")(ids(prompt_symbols), ["en"] * prompt_symbols, codes)
        text = ids(work["frames"] * SYMBOLS // RATE)
        return load("Request")(text, ["en"] * len(text), prompt)

    asked = [request() for _ in range(work["batch"])]
    sampling = load("Sampling")(top_k=1, max_frames=work["frames"])
    with suppress(ImportError):
        load("ready")(ar, nar, work["weights"])
    synthesize = load("synthesize")

    def measure() -> dict[str, Any]:
        clock = time.perf_counter()
        spoken = synthesize(ar, nar, asked, sampling, batch_size=work["batch"])
        seconds = time.perf_counter() - clock
        frames = sum(len(one.codes) for one in spoken)
        return {
            "frames/s": frames / seconds,
            "frames": frames,
            "memory": peak_memory(work["device"]),
        }

    serve({}, measure)


def main() -> None:
    parser = options_of(__doc__, width=1024, layers=12, heads=16, rounds=3)
    parser.add_argument("--prompt-frames", type=int, default=150)
    parser.add_argument("--frames", type=int, default=544)
    parser.add_argument("--batch", type=int, default=1, help="utterances")
    parser.add_argument("--weights", choices=("auto", "int8", "bf16", "fp32"), default="auto")
    options = parser.parse_args()
    if options.work:
        serve_speech(json.loads(options.work))
        return
    work = {k: v for k, v in vars(options).items() if k not in ("against", "json", "work")}
    with trees(options.against) as folders:
        one = {**work, "batch": 1}
        works = {
            name: (folder, work if name == "today" else one) for name, folder in folders.items()
        }
        found = in_turns(__file__, works, options.rounds)
    speeds = {name: statistics.median(r["frames/s"] for r in its) for name, its in found.items()}
    base = list(speeds.values())[-1]
    rows = [
        {
            "code": name,
            "utterances": works[name][1]["batch"],
            "frames/s": round(speed, 1),
            "times": round(speed / base, 2),
            "real-time factor": round(RATE / speed, 2),
            "memory (MB)": round(max(r["memory"] for r in found[name])),
        }
        for name, speed in speeds.items()
    ]
    print_table(rows)
    if options.json:
        options.json.write_text(json.dumps({"work": work, "rows": rows, "rounds": found}))


if __name__ == "__main__":
    main()
