"""What keeps words from being skipped and repeated, each by itself, on sentences never read.

    python benchmarks/speaking.py --model resources/base --sentences resources/base/sentences.txt \
        --whisper data/whisper-base --json speaking.json

Whisper judges in float32; where `verify` is measured, the same in int8 listens.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import jiwer
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from revoice.evaluation.normalize import join_compounds, normalize
from revoice.evaluation.recognizers import load_whisper
from revoice.speaking.pieces import Piece, Span
from revoice.speaking.talker import Talker
from revoice.speaking.telling import How, tell

# Keys of `synthesis`, and of `How`, in place of the plain ones.
PLAIN: dict[str, Any] = {"best_of": 1}
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "repetition-aware, window 10, 0.1": ({"window": 10, "repetition": 0.1}, {}),
    "repetition-aware, window 10, 0.3": ({"window": 10, "repetition": 0.3}, {}),
    "repetition-aware, window 25, 0.5": ({"window": 25, "repetition": 0.5}, {}),
    "end_bias 10": ({"end_bias": 10.0}, {}),
    "loop_seconds 0.8": ({"loop_seconds": 0.8}, {}),
    "verify, 2 retries": ({}, {"retries": 2, "errors": 0.1, "verify": True}),
    "best_of 4": ({"best_of": 4}, {}),
    "best_of 4, verify": ({"best_of": 4}, {"retries": 2, "errors": 0.1, "verify": True}),
    "best_of 8": ({"best_of": 8}, {}),
}


def judged(text: str, heard: str) -> dict[str, int]:
    """What is wrong with a sentence: errors, and whether words are skipped, repeated, or follow."""
    said = normalize(text)
    words = join_compounds(normalize(heard), said)
    found = jiwer.process_words(" ".join(said), " ".join(words) or " ")
    skipped = repeated = after = 0
    for chunk in found.alignments[0]:
        if chunk.type == "delete":
            skipped = 1
        elif chunk.type == "insert":
            for at in range(chunk.hyp_start_idx, chunk.hyp_end_idx):
                near = words[max(0, at - 1) : at] + words[at + 1 : at + 2]
                repeated |= words[at] in near
            if chunk.ref_start_idx == len(said):
                after += chunk.hyp_end_idx - chunk.hyp_start_idx
    errors = found.substitutions + found.deletions + found.insertions
    either = skipped | repeated
    counted = {"words": len(said), "errors": errors, "skipped": skipped, "repeated": repeated}
    return counted | {"either": either, "after": after}


def measure(
    talker: Talker, texts: list[str], seeds: range, how: dict[str, Any], hear: Any, listen: Any
) -> dict[str, float]:
    """Figures over all texts and seeds; `took`: seconds to speak them once."""
    how = dict(how)
    recognizer = listen if how.pop("verify", False) else None
    pieces = [Piece((Span(text, "en"),), 0.0) for text in texts]
    prompt, total, took, unended = talker.voice(), dict[str, float](), 0.0, 0
    for seed in seeds:
        started = time.process_time()
        told = list(
            tell(talker, pieces, prompt, How(**{"retries": 0, "seed": seed} | how), recognizer)
        )
        took += time.process_time() - started
        for one, text in zip(told, texts, strict=True):
            unended += not one.ended
            for key, value in judged(
                text, hear(one.samples, talker.codec.sample_rate, "en")
            ).items():
                total[key] = total.get(key, 0) + value
    sentences = len(texts) * len(seeds)
    shares = {key: 100 * total[key] / sentences for key in ("skipped", "repeated", "either")}
    return {
        "wer": 100 * total["errors"] / total["words"],
        **shares,
        "after": total["after"] / len(seeds),
        "unended": unended / len(seeds),
        "took": took / len(seeds),
    }


def main() -> None:
    """Measure the variants, and print their table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path, default="resources/base")
    parser.add_argument("--sentences", type=Path, default="resources/base/sentences.txt")
    parser.add_argument("--whisper", type=Path, default="data/whisper-base")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--count", type=int, help="only so many sentences")
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    texts = options.sentences.read_text("utf-8").splitlines()[: options.count]
    hear = load_whisper(options.whisper)
    listen = load_whisper(options.whisper, compute_type="int8")
    talker, rows = Talker.load(options.model), {}
    own = talker.config
    for name in options.variants:
        keys, how = VARIANTS[name]
        talker.config = own.model_copy(update=PLAIN | keys)
        rows[name] = measure(talker, texts, range(1, options.seeds + 1), how, hear, listen)
        print(name, {key: round(value, 2) for key, value in rows[name].items()}, flush=True)
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    table = [[name, *(round(value, 1) for value in row.values())] for name, row in rows.items()]
    print(tabulate(table, ["variant", *rows[options.variants[0]]], "github"))


if __name__ == "__main__":
    main()
