"""What a packed voice can do, on sentences that it never read.

    python benchmarks/base.py results/voice/pack --whisper data/whisper-base --out figures.json \
        --recordings others.csv

The hundred of resources/base/sentences.txt are read by its teacher (hibari's voice), given back by
the codec, and spoken by the voice from its own prompt, once for each seed; Whisper writes all of it
down. With `--recordings`, a table (`path`, `text`) of three seconds each of speakers whom it never
heard, ten sentences are spoken from each: how near to that speaker, how near to the others.
"""

import argparse
import csv
import json
from pathlib import Path

import librosa
import numpy as np

from revoice.codec.files import load_codec
from revoice.evaluation.measures import dnsmos, speaker_similarity
from revoice.evaluation.recognizers import Recognizer, load_whisper
from revoice.evaluation.scoring import word_errors
from revoice.model.checkpoint import load_model
from revoice.model.drawing import Sampling
from revoice.model.generate import ask, synthesize
from revoice.model.prompts import Prompt
from revoice.model.sounds import entries_of
from revoice.synthetic.voices import levelled, load_voice, trimmed
from revoice.text import load_tokenizer

RATE = 24000
TEACHER = "heart"
# which of the hundred sentences, by line
GROUPS = {"ordinary": (0, 70), "20 words and more": (70, 80), "twisters": (80, 90)}
GROUPS |= {"numbers": (90, 100), "all": (0, 100)}


class Voice:
    """A voice in a folder as the rule `pack` writes it."""

    def __init__(self, folder: Path) -> None:
        self.ar, self.nar, _ = load_model(folder / "model")
        self.tokenizer = load_tokenizer(folder / "tokenizer.json")
        self.codec = load_codec(folder / "codec.json")

    def tokens(self, text: str) -> tuple[list[int], list[str]]:
        """Ids and languages of an English text, one per symbol."""
        tokens = self.tokenizer(text, "en")
        return tokens.ids, tokens.languages

    def speak(
        self, texts: list[str], prompt: tuple[Path, str], sampling: Sampling, seed: int, both: bool
    ) -> tuple[list[np.ndarray], int]:
        """What the texts sound like with a prompt (file, its text), and how many ended.

        `both`: the AR hears the prompt as well as the NAR.
        """
        before = self.tokens(prompt[1])
        codes = self.codec.encode(librosa.load(prompt[0], sr=RATE)[0])
        said = Prompt(*before, codes)
        requests = [ask(said, *self.tokens(text), self.tokenizer) for text in texts]
        how = (sampling, seed, 10, entries_of(self.codec), both)
        made = synthesize(self.ar.eval(), self.nar.eval(), requests, *how)
        return [self.codec.decode(one.codes) for one in made], sum(one.ended for one in made)


def figures(texts: list[str], clips: list[np.ndarray], hear: Recognizer, every: int = 1) -> dict:
    """Word errors in percent by group of sentences, mean DNSMOS and duration, what was heard.

    The texts are every so manieth of the hundred.
    """
    heard = [hear(clip, RATE, "en") for clip in clips]
    counts = [word_errors(*pair) for pair in zip(texts, heard, strict=True)]
    result: dict = {}
    for name, (start, end) in GROUPS.items():
        errors, words = np.sum(counts[-(-start // every) : -(-end // every)], axis=0)
        result[name] = {"wer": round(float(100 * errors / words), 1), "words": int(words)}
    result["dnsmos"] = round(float(np.mean([dnsmos(to_16k(x)) for x in clips if len(x)])), 2)
    result["seconds"] = round(float(np.mean([len(clip) / RATE for clip in clips])), 2)
    return {**result, "heard": heard}


def to_16k(clip: np.ndarray) -> np.ndarray:
    """The clip at the rate that measures hear."""
    return librosa.resample(clip, orig_sr=RATE, target_sr=16000)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--whisper", required=True)
    parser.add_argument("--sentences", type=Path, default=Path("resources/base/sentences.txt"))
    parser.add_argument("--recordings", type=Path)
    parser.add_argument("--temperature", type=float, default=0.4)
    parser.add_argument("--top-k", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only-voice", action="store_true", help="no teacher, no codec")
    parser.add_argument("--best-of", type=int, default=4)
    parser.add_argument("--prompted", choices=["both", "nar"], default="nar")
    parser.add_argument("--every", type=int, default=1, help="take every so manieth sentence")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    voice, hear = Voice(args.folder), load_whisper(args.whisper, compute_type="int8")
    sampling = Sampling(args.top_k, temperature=args.temperature, best_of=args.best_of)
    both = args.prompted == "both"
    texts = args.sentences.read_text("utf-8").splitlines()[:: args.every]

    result: dict = {}
    if not args.only_voice:
        teacher = load_voice(TEACHER, Path("."))
        read = [levelled(trimmed(teacher(text, 1.0))) for text in texts]
        result["teacher"] = figures(texts, read, hear, args.every)
        given_back = [voice.codec.decode(voice.codec.encode(clip)) for clip in read]
        result["codec"] = figures(texts, given_back, hear, args.every)
    wav = args.folder / "voices" / f"{TEACHER}.wav"
    own = wav, wav.with_suffix(".txt").read_text("utf-8").strip()
    for seed in range(1, args.seeds + 1):
        clips, ended = voice.speak(texts, own, sampling, seed, both)
        result[f"seed {seed}"] = {**figures(texts, clips, hear, args.every), "ended": ended}

    rows = list(csv.DictReader(args.recordings.open())) if args.recordings else []
    for row in rows:
        clips, _ = voice.speak(texts[:10], (Path(row["path"]), row["text"]), sampling, 1, both)
        heard = [to_16k(clip) for clip in clips if len(clip)]
        near = result[f"prompt {Path(row['path']).stem}"] = {}
        for other in rows:
            mean = np.mean([speaker_similarity(clip, other["path"]) for clip in heard])
            near[Path(other["path"]).stem] = round(float(mean), 3)
    args.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    for name, row in result.items():
        print(name, {key: value for key, value in row.items() if key != "heard"})


if __name__ == "__main__":
    main()
