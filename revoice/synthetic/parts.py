"""What a synthetic corpus will hold, known from the configuration alone."""

import hashlib
import json
from typing import NamedTuple

from revoice.config import CorpusConfig

PART_SECONDS = 120.0


class VoicePart(NamedTuple):
    """Some two minutes of one voice, spoken as a whole."""

    name: str  # `af_bella/0003`
    voice: str
    seconds: float


def parts_of(corpus: CorpusConfig) -> list[VoicePart]:
    """The parts that a corpus's voices are spoken in, in the order of the configuration."""
    parts = []
    for voice, minutes in corpus.voices.items():
        left, number = 60 * minutes, 0
        while left > 0.5:
            seconds = min(left, PART_SECONDS)
            parts.append(VoicePart(f"{voice}/{number:04d}", voice, seconds))
            left, number = left - seconds, number + 1
    return parts


def stamp(corpus: CorpusConfig) -> str:
    """What changes where the texts of a part do."""
    keys = {"voices", "seed", "templates", "held_out", "held_out_files"}
    said = json.dumps(corpus.model_dump(mode="json", include=keys))
    return f"said:{hashlib.sha256(said.encode()).hexdigest()[:16]}"
