"""Which segments are kept: what was measured of them against what the configuration asks for."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from revoice.config_recordings import QualityConfig

FOREIGN = 0.8  # probability from which on a language is another one than is said
SHORTEST = 0.1  # seconds that are left of a label in its recording
UNSURE = 0.5  # below it the language of a segment is not known, where it was not said
CODES = {"cmn": "zh", "nb": "no", "fil": "tl", "iw": "he", "ji": "yi"}  # that Whisper lacks
# What a sign of a script without an alphabet counts in letters: about what its phonemes are.
LETTERS = {"CJK": 3, "HIRAGANA": 2, "KATAKANA": 2, "HANGUL": 2}


def whisper_code(language: str) -> str:
    """A language as Whisper calls it: `en_GB` is `en`, and `cmn` is `zh`."""
    bare = language.replace("_", "-").split("-")[0].lower()
    return CODES.get(bare, bare)


def letters(text: str) -> int:
    """Letters and figures of a text; a sign for a syllable counts as two, one for a word as 3."""
    return sum(
        LETTERS.get(unicodedata.name(sign, "").split(" ")[0], 1) for sign in text if sign.isalnum()
    )


def judge(
    segment: Mapping[str, Any], quality: QualityConfig, language: str | None
) -> tuple[str, str]:
    """The criterion that leaves a segment out, and the reason in words; "", "" where it is kept.

    Args:
        segment: `begin`, `end`, `text`, `language`, `status`; where measured (else absent or NaN)
            `confidence`, `matched`, `found` and `sureness` (of a language), `rate` (letters a
            second), `dnsmos`, `snr` (dB), `clipping` (share), `bandwidth` (Hz).
        language: what it should be in; None: whatever it is in, if that is known.
    """
    if segment["status"] == "replaced":
        return "replaced", "labels.tsv has another segment in its time"
    if segment["end"] - segment["begin"] < SHORTEST:
        return "labels", "its times in labels.tsv are beyond the end of the recording"
    if not segment["language"]:
        return "language", "nothing beside it says what language it is in"
    if segment["status"] == "bad":
        return "bad", "labels.tsv says that it is bad"
    if segment["status"] != "ok":  # a text that was proofread is right
        if not letters(segment["text"]):
            return "words", "no words were heard in it"
        if why := _of_language(segment, language):
            return "language", why
        for key in ("confidence", "matched"):
            if why := _below(segment, key, getattr(quality, key)):
                return key, why
        if why := _of_rate(segment, quality.rate):
            return "rate", why
    for key in ("dnsmos", "snr", "bandwidth"):
        if why := _below(segment, key, getattr(quality, key)):
            return key, why
    if quality.clipping is not None and _number(segment, "clipping") > quality.clipping:
        found, most = _number(segment, "clipping"), quality.clipping
        return "clipping", f"clipping {found:.3g}, recordings.quality.clipping is {most:g}"
    return "", ""


def hours(table: pd.DataFrame) -> pd.DataFrame:
    """Segments and minutes kept and left out, by criterion, the most first.

    `table` has `begin` and `end` in seconds and `criterion`, "" of what is kept.
    """
    length = (table["end"].astype(float) - table["begin"].astype(float)) / 60
    found = length.groupby(table["criterion"].fillna("")).agg(["size", "sum"])
    found.columns = pd.Index(["segments", "minutes"])
    if "" not in found.index:
        found.loc[""] = [0, 0.0]
    left = found.drop("").sort_values(["minutes", "segments"], ascending=False)
    rows = pd.concat([found.loc[[""]].rename({"": "kept"}), left])
    rows["segments"] = rows["segments"].astype(int)
    return rows.round({"minutes": 2}).rename_axis("criterion").reset_index()


def _number(segment: Mapping[str, Any], key: str) -> float:
    """What was measured; NaN, which is neither above nor below anything, for what was not."""
    value = segment.get(key)
    return np.nan if value is None else float(value)


def _below(segment: Mapping[str, Any], key: str, least: float | None) -> str:
    found = _number(segment, key)
    if least is None or not found < least:
        return ""
    return f"{key} {found:.4g}, recordings.quality.{key} is {least:g}"


def _of_language(segment: Mapping[str, Any], language: str | None) -> str:
    found, sureness = segment.get("found"), _number(segment, "sureness")
    if not found or not isinstance(found, str):
        return ""
    if language is None:
        unsure = sureness < UNSURE
        return f"its language is not clear: {found}, {sureness:.2f}" if unsure else ""
    said = whisper_code(language)
    if found != said and sureness >= FOREIGN:
        return f"is in {found} ({sureness:.2f}), not in {said}"
    return ""


def _of_rate(segment: Mapping[str, Any], limits: Sequence[float] | None) -> str:
    rate = _number(segment, "rate")
    if limits is None or not (rate < limits[0] or rate > limits[1]):
        return ""
    return f"{rate:.3g} letters a second, recordings.quality.rate is [{limits[0]:g}, {limits[1]:g}]"
