"""Names of voices: `heart`, `af_bella`, a blend `af_bella+am_puck`, another throat `heart@0.85`."""

import math
from collections.abc import Mapping
from typing import NamedTuple

KOKORO = frozenset(  # its English voices: American and British, female and male
    "af_alloy af_aoede af_bella af_heart af_jessica af_kore af_nicole af_nova af_river af_sarah "
    "af_sky am_adam am_echo am_eric am_fenrir am_liam am_michael am_onyx am_puck am_santa "
    "bf_alice bf_emma bf_isabella bf_lily bm_daniel bm_fable bm_george bm_lewis".split()
)
DISTILLED = "heart"  # the voice of hibari, a small model that learnt from Kokoro's
FACTORS = 0.7, 1.4  # what is beyond them sounds like nobody


class VoiceName(NamedTuple):
    """A voice: whose, of several the mean; and the factor of its pitch and its formants."""

    parts: list[str]
    factor: float


def parse_voice(name: str) -> VoiceName:
    """Read a voice's name; ValueError says what is wrong with it."""
    base, at, number = name.partition("@")
    parts = base.split("+")
    if unknown := set(parts) - ({DISTILLED} if base == DISTILLED else KOKORO):
        raise ValueError(
            f"{', '.join(sorted(unknown))} is none of heart, {', '.join(sorted(KOKORO))}, "
            "or two of Kokoro's such as af_bella+am_puck"
        )
    try:
        factor = float(number) if at else 1.0
    except ValueError:
        factor = 0.0
    if not FACTORS[0] <= factor <= FACTORS[1]:
        raise ValueError(
            f'{name}: "{number}" is no factor of pitch between {FACTORS[0]:g} and {FACTORS[1]:g}'
        )
    return VoiceName(parts, factor)


def check_voices(voices: Mapping[str, float]) -> None:
    """Raise ValueError unless these, voice to minutes, can be spoken."""
    for voice, minutes in voices.items():
        if not 0 < minutes < math.inf:
            raise ValueError(f"`voices`: {voice} has {minutes:g} minutes, and needs some")
        try:
            parse_voice(voice)
        except ValueError as error:
            raise ValueError(f"`voices`: {error}") from None
