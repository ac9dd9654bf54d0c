"""Whether what was spoken can be understood: a recognizer writes it down, many at a time."""

from collections.abc import Sequence

import jiwer
import numpy as np
from numpy.typing import NDArray

from revoice.evaluation.normalize import join_compounds, normalize
from revoice.evaluation.recognizers import Recognizer

WINDOW = 28.0  # seconds of speech and pauses that are heard at once: Whisper takes 30
PAUSE = 0.7  # seconds between two utterances
MOST_ERRORS = 0.2  # share of words


def misheard(
    hear: Recognizer, clips: Sequence[NDArray[np.float32]], texts: Sequence[str], rate: int
) -> list[tuple[int, int, str]]:
    """For each clip (N,) at `rate` Hz: word errors, words, and what was heard, if not understood.

    Clips are heard one after another in windows, which takes a fifth of the time. Each of those
    with more than a fifth of their words wrong is heard again, alone, and that counts; what was
    heard is "" for a clip that is understood.
    """
    said = [normalize(text) for text in texts]
    results: list[tuple[int, int, str]] = []
    pause = np.zeros(int(PAUSE * rate), np.float32)
    for window in _windows([len(clip) / rate for clip in clips]):
        together = np.concatenate([part for i in window for part in (clips[i], pause)])
        heard = normalize(hear(together, rate, "en"))
        for i, wrong in zip(window, _errors([said[i] for i in window], heard), strict=True):
            text = ""
            if not understood(wrong, len(said[i])):
                alone = hear(clips[i], rate, "en")
                (wrong,) = _errors([said[i]], normalize(alone))
                text = "" if understood(wrong, len(said[i])) else alone
            results.append((wrong, len(said[i]), text))
    return results


def understood(errors: int, words: int) -> bool:
    """Whether at most a fifth of the words are wrong."""
    return errors <= MOST_ERRORS * words


def _windows(seconds: Sequence[float]) -> list[list[int]]:
    windows: list[list[int]] = [[]]
    filled = 0.0
    for i, length in enumerate(seconds):
        if windows[-1] and filled + length + PAUSE > WINDOW:
            windows.append([])
            filled = 0.0
        windows[-1].append(i)
        filled += length + PAUSE
    return [window for window in windows if window]


def _errors(said: Sequence[Sequence[str]], heard: list[str]) -> list[int]:
    """Word errors of each text in what was heard of all of them, one after the other."""
    reference = [word for text in said for word in text]
    if not reference:
        return [0] * len(said)
    heard = join_compounds(heard, reference)
    owner = [i for i, text in enumerate(said) for _ in text]
    errors = [0] * len(said)
    (alignment,) = jiwer.process_words(" ".join(reference), " ".join(heard)).alignments
    for chunk in alignment:
        if chunk.type == "insert":
            where = owner[min(chunk.ref_start_idx, len(owner) - 1)]
            errors[where] += chunk.hyp_end_idx - chunk.hyp_start_idx
        elif chunk.type != "equal":
            for word in range(chunk.ref_start_idx, chunk.ref_end_idx):
                errors[owner[word]] += 1
    return errors
