"""A shard of a synthetic corpus, spoken part by part until its minutes are full."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from revoice.config import CorpusConfig
from revoice.corpus.audio import SAMPLE_RATE, Source
from revoice.corpus.naming import recording_id
from revoice.evaluation.recognizers import Recognizer
from revoice.synthetic.hearing import misheard, understood
from revoice.synthetic.names import DISTILLED, parse_voice
from revoice.synthetic.parts import VoicePart
from revoice.synthetic.voices import (
    Voice,
    implausible,
    levelled,
    load_voice,
    pace_of,
    trimmed,
)

log = logging.getLogger(__name__)

CHECKED = 0.01  # of the distilled voice, which is understood: a sample, to know that it is so


def speak_parts(
    name: str,
    corpus: CorpusConfig,
    parts: Iterable[VoicePart],
    texts: dict[str, list[tuple[str, str]]],
    kokoro: Path,
    folder: Path,
    hear: Recognizer | None,
) -> list[Source]:
    """Speak parts of the corpus `name` to `folder/{id}.wav`, 24 kHz mono 16-bit.

    What lasts implausibly long, or is misheard, gets a reason and no file; of the distilled voice
    one utterance in a hundred is listened to. All that is read stands in the list that is returned.

    Args:
        texts: by part, (path, text) in the order in which they are read.
        kokoro: the folder with Kokoro's files.
        hear: a recognizer; None: nothing is listened to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    voices: dict[str, Voice] = {}
    sources: list[Source] = []
    for part in parts:
        if part.voice not in voices:
            voices[part.voice] = load_voice(part.voice, kokoro)
        voice = voices[part.voice]
        left, lines = part.seconds, iter(texts[part.name])
        while left > 0 and (batch := list(_read(voice, corpus.seed, lines, left))):
            reasons = _heard(hear, batch, DISTILLED in parse_voice(part.voice).parts)
            for (path, _, clip, fault), reason in zip(batch, reasons, strict=True):
                source = _source(name, path, clip, fault or reason)
                if not source.reason:
                    soundfile.write(folder / f"{source.id}.wav", clip, SAMPLE_RATE, "PCM_16")
                    left -= len(clip) / SAMPLE_RATE
                sources.append(source)
        if left > 0:
            log.warning("%s: the sentences ended %.0f s early", part.name, left)
    return sources


Reading = tuple[str, str, NDArray[np.float32], str]  # path, text, samples, what is wrong


def _read(
    voice: Voice, seed: int, lines: Iterator[tuple[str, str]], seconds: float
) -> Iterator[Reading]:
    """Read lines aloud until what is usable is so long."""
    for path, text in lines:
        clip = levelled(trimmed(voice(text, pace_of(seed, path))))
        fault = implausible(len(clip) / SAMPLE_RATE, text)
        yield path, text, clip, fault
        seconds -= 0 if fault else len(clip) / SAMPLE_RATE
        if seconds <= 0:
            return


def _heard(hear: Recognizer | None, batch: list[Reading], sample: bool) -> list[str]:
    """Why utterances are left out for how they are heard; "" for those that stay."""
    reasons = [""] * len(batch)
    step = round(1 / CHECKED) if sample else 1
    chosen = [i for i, (*_, fault) in enumerate(batch) if not fault][step // 2 :: step]
    if hear is None or not chosen:
        return reasons
    clips, texts = [batch[i][2] for i in chosen], [batch[i][1] for i in chosen]
    results = misheard(hear, clips, texts, SAMPLE_RATE)
    for i, (errors, words, text) in zip(chosen, results, strict=True):
        if not understood(errors, words):
            reasons[i] = f"misheard, {errors} of {words} words: {text}"
    total = sum(words for _, words, _ in results)
    log.info("heard %d words, %d wrong", total, sum(errors for errors, *_ in results))
    return reasons


def _source(name: str, path: str, clip: NDArray[np.float32], reason: str) -> Source:
    return Source(
        path,
        recording_id(name, path),
        format="wav",
        codec="pcm_s16le",
        rate=SAMPLE_RATE,
        channels=1,
        duration=len(clip) / SAMPLE_RATE,
        peak=round(float(np.abs(clip).max(initial=0)), 5),
        reason=reason,
    )
