"""A corpus and a configuration small enough to run the whole workflow in a minute or two."""

import csv
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COUNTING = {
    "en": DIGITS,
    "es": tuple("cero uno dos tres cuatro cinco seis siete ocho nueve".split()),
}
UNSCORED = {"recognizer": None, "similarity": None, "dnsmos": None}
THREADED = "resample segment transcribe assess encode fit_codec evaluate synthesize score".split()
THREADED += ["train_ar", "train_nar"]
# For so little to do, a second process costs more than it gains.
ONE_THREAD = ["--set-threads", *(f"{rule}=1" for rule in THREADED)]


def write_corpus(spoken: Path, folder: Path) -> None:
    """Spoken digits, a folder for each speaker, with transcripts; and the read sentences.

    `spoken` is laid out as the fixture of that name gives it.
    """
    for path in sorted((spoken / "digits").glob("*_0.wav")):
        write_digit(path, folder / path.stem.split("_")[1])
    read = {p: p.with_suffix(".normalized.txt") for p in (spoken / "LibriTTS").rglob("*.wav")}
    for path, text in read.items():
        there = folder / path.parts[-3]
        there.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, there / path.name)
        shutil.copyfile(text, there / text.name)
    lines = (spoken / "LJSpeech-1.1/metadata.csv").read_text("utf-8").splitlines()
    (folder / "lj").mkdir(parents=True, exist_ok=True)
    for name, _, text in (line.split("|") for line in lines):
        audio = spoken / "LJSpeech-1.1/wavs" / f"{name}.wav"
        shutil.copyfile(audio, folder / "lj" / audio.name)
        (folder / "lj" / f"{name}.txt").write_text(text, "utf-8")


def write_digit(path: Path, folder: Path) -> None:
    """A recording `{digit}_{speaker}_{number}.wav`, with its transcript."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / path.name)
    (folder / path.name).with_suffix(".txt").write_text(DIGITS[int(path.name[0])])


def write_ten_digits(spoken: Path, folder: Path) -> None:
    """The corpus `audio` of a folder: ten of one speaker."""
    for path in sorted((spoken / "digits").glob("*_jackson_*.wav"))[:10]:
        write_digit(path, folder / "audio/jackson")


def ar_log(folder: Path, experiment: str) -> str:
    """What the training of its AR has said so far; Snakemake removes it before each attempt."""
    with suppress(FileNotFoundError):
        return (folder / f"logs/train_ar/{experiment}.log").read_text("utf-8")
    return ""


def write_counting(folder: Path, speaker: str, language: str) -> None:
    """`{language}.csv`, a corpus of kind table: the speaker's digits, as if they counted on."""
    with open(folder / f"{language}.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "text", "speaker", "language"])
        for path in sorted(folder.glob(f"audio/{speaker}/?_*.wav")):
            # four words, so that each stands in several texts
            text = " ".join((COUNTING[language] * 2)[int(path.name[0]) :][:4])
            rows.writerow([path.relative_to(folder).as_posix(), text, speaker, language])


def write_base(experiment: Path, folder: Path) -> None:
    """What an experiment left as a base voice, in `folder`: its weights in float16."""
    from safetensors.torch import load_file, save_file

    folder.mkdir(parents=True, exist_ok=True)
    for name in ("model.json", "tokenizer.json", "codec.json", "codec.safetensors"):
        shutil.copyfile(experiment / name, folder / name)
    weights = load_file(experiment / "model.safetensors")
    halves = {name: value.half() for name, value in weights.items()}
    save_file(halves, folder / "model.safetensors")


def training(**values: Any) -> dict[str, Any]:
    """A few steps of training."""
    few: dict[str, Any] = {
        "lr": 1e-3,
        "steps": 4,
        "batch_seconds": 10,
        "log_every": 2,
        "valid_every": 2,
        "checkpoint_every": 2,
        "precision": "fp32",
    }
    return few | values


def config(**values: Any) -> dict[str, Any]:
    """The configuration of a run on the corpus in `audio`, with a tiny model."""
    small: dict[str, Any] = {
        "corpora": {"small": {"kind": "folder", "path": "audio", "languages": ["en"]}},
        "audio": {"shard_minutes": 0.4},
        "split": {"dev": 0.15, "test": 0.15, "seed": 34},
        "experiments": {
            "tiny": {
                "corpora": ["small"],
                "tokenizer": "vallex",
                "codec": "world",
                "limits": {"min_seconds": 0.1},
                "model": {"width": 32, "layers": 1, "heads": 2},
                "ar": training(),
                "nar": training(),
            }
        },
        "evaluation": {"max_train_cuts": 10, "precision": "fp32"},
        "synthesis": {"sentences": 2, "prompt_seconds": 0.3, "weights": "fp32"},
        "score": {"recognizer": "pocketsphinx"},
    }
    return small | values
