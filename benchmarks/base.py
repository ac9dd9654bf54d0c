"""What the base voice can do: the figures of its card, resources/base/README.md.

    python benchmarks/base.py resources/base --whisper data/whisper-base --recordings a.wav b.wav

The hundred sentences of sentences.txt are read by its teacher (hibari's voice), given back by the
codec, and spoken by the base with its own prompt of that voice; Whisper writes down all three. With
`--recordings`, each with its words in a .txt beside it, ten of the sentences are also spoken from
three seconds of each: how near the speaker is, by resemblyzer, and how near the others are.
"""

import argparse
import json
from pathlib import Path

import librosa
import numpy as np

from revoice.codec.files import load_codec
from revoice.evaluation.measures import _embedding, dnsmos
from revoice.evaluation.recognizers import load_whisper
from revoice.evaluation.scoring import word_errors
from revoice.model.checkpoint import load_model
from revoice.model.generate import Request, Sampling, Synthesis, entries_of, synthesize
from revoice.model.prompts import Prompt
from revoice.synthetic.voices import levelled, load_voice, trimmed
from revoice.text import load_tokenizer
from revoice.text.framing import frame

RATE = 24000
PROMPT_SECONDS = 3
GROUPS = {"ordinary": (0, 70), "20 words and more": (70, 80), "twisters": (80, 90)}
GROUPS |= {"numbers": (90, 100), "all": (0, 100)}


class Base:
    """The voice in a folder as `resources/base/` is one."""

    def __init__(self, folder: Path) -> None:
        self.ar, self.nar, self.meta = load_model(folder / "model")
        self.tokenizer = load_tokenizer(folder / "tokenizer.json")
        self.codec = load_codec(folder / "codec.json")

    def prompt(self, wav: Path, seconds: float | None = None) -> tuple[np.ndarray, str]:
        samples = librosa.load(wav, sr=RATE)[0]
        return samples, wav.with_suffix(".txt").read_text("utf-8").strip()

    def speak(
        self, texts: list[str], prompt: tuple[np.ndarray, str], sampling: Sampling, seed: int
    ) -> list[Synthesis]:
        samples, said = prompt
        codes = self.codec.encode(samples)
        requests = []
        for text in texts:
            parts = [self.tokenizer(t, "en") for t in (said, text)]
            before, after = frame(
                [(p.ids, p.languages) for p in parts],
                self.tokenizer.separator,
                self.tokenizer.ends,
                language="after",
            )
            requests.append(Request(*after, prompt=Prompt(*before, codes)))
        entries = entries_of(self.codec)
        return synthesize(self.ar.eval(), self.nar.eval(), requests, sampling, seed, 10, entries)


def rates(texts: list[str], clips: list[np.ndarray], hear) -> dict:
    heard = [hear(clip, RATE, "en") for clip in clips]
    counts = [word_errors(*pair) for pair in zip(texts, heard, strict=True)]
    result = {}
    for name, (start, end) in GROUPS.items():
        errors, words = np.sum(counts[start:end], axis=0)
        result[name] = {"wer": round(100 * errors / words, 1), "words": int(words)}
    result["dnsmos"] = round(float(np.mean([dnsmos(_16k(clip)) for clip in clips])), 2)
    result["seconds"] = round(float(np.mean([len(clip) / RATE for clip in clips])), 2)
    result["heard"] = heard
    return result


def _16k(clip: np.ndarray) -> np.ndarray:
    return librosa.resample(clip, orig_sr=RATE, target_sr=16000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--whisper", required=True)
    parser.add_argument("--sentences", type=Path, default=Path("resources/base/sentences.txt"))
    parser.add_argument("--recordings", type=Path, nargs="*", default=[])
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--top-k", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    base, hear = Base(args.folder), load_whisper(args.whisper, compute_type="int8")
    sampling = Sampling(top_k=args.top_k, temperature=args.temperature)
    texts = args.sentences.read_text("utf-8").splitlines()
    teacher = load_voice("heart", Path("."))
    read = [levelled(trimmed(teacher(text, 1.0))) for text in texts]
    result: dict = {"teacher": rates(texts, read, hear)}
    given_back = [base.codec.decode(base.codec.encode(clip)) for clip in read]
    result["codec"] = rates(texts, given_back, hear)
    prompt = base.prompt(args.folder / "prompts" / "heart.wav")
    for seed in range(1, args.seeds + 1):
        spoken = base.speak(texts, prompt, sampling, seed)
        clips = [base.codec.decode(one.codes) for one in spoken]
        result[f"base, seed {seed}"] = rates(texts, clips, hear)
        result[f"base, seed {seed}"]["ended"] = sum(one.ended for one in spoken)

    said = texts[:10]
    prompts = {wav.stem: base.prompt(wav) for wav in args.recordings}
    known = {name: _embedding(_16k(samples)) for name, (samples, _) in prompts.items()}
    for name, prompt in prompts.items():
        spoken = base.speak(said, prompt, sampling, 1)
        clips = [base.codec.decode(one.codes) for one in spoken if len(one.codes)]
        near = [_embedding(_16k(clip)) for clip in clips]
        result[f"prompt {name}"] = {
            other: round(float(np.mean([one @ embedding for one in near])), 3)
            for other, embedding in known.items()
        }
    text = json.dumps(result, indent=1)
    if args.out:
        args.out.write_text(text + "\n", "utf-8")
    print(json.dumps({k: {a: b for a, b in v.items() if a != "heard"} for k, v in result.items()}))


if __name__ == "__main__":
    main()
