"""Where somebody speaks in a recording of any length, cut at pauses into segments."""

import importlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE = 16000  # Hz: what the detector hears
FRAME = 512  # samples that it says one probability of, 32 ms
BLOCK = 300 * RATE // FRAME * FRAME  # samples that are in memory at a time, some five minutes
BEFORE = 2 * RATE // FRAME * FRAME  # of these, what is heard again, so that no block begins deaf
BEGINS, ENDS = 0.5, 0.35  # speech begins at one probability, and ends below the other


@dataclass(frozen=True)
class Pauses:
    """Seconds: what separates phrases, what may join them, and how much of it goes with each."""

    shortest: float = 1.0  # of a segment
    longest: float = 15.0
    pause: float = 0.2  # a shorter one is none
    join: float = 0.8  # phrases this far apart may be one segment
    around: float = 0.15  # kept on both sides, but no more than half of a pause


Span = tuple[float, float]  # begin and end in seconds


@cache
def _detector() -> Any:
    """Silero's model, which faster-whisper carries."""
    return importlib.import_module("faster_whisper.vad").get_vad_model()


def speech(samples: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Probabilities of speech, one for each frame of 32 ms, of 16 kHz mono as it comes.

    `samples`: parts of a recording (N,) in order, of any length. Yields (frames,) for each block;
    what is left at the end is filled up with silence.
    """
    before = np.zeros(0, np.float32)
    for part in _blocks(samples):
        heard = np.concatenate([before, part])
        short = -len(heard) % FRAME
        probabilities = np.asarray(_detector()(np.pad(heard, (0, short)))).reshape(-1)
        yield probabilities[len(before) // FRAME :].astype(np.float32)
        before = heard[-BEFORE:]


def _blocks(samples: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """The same in parts of `BLOCK` samples, the last one shorter."""
    waiting: list[NDArray[np.float32]] = []
    length = 0
    for part in samples:
        waiting.append(part)
        length += len(part)
        while length >= BLOCK:
            joined = np.concatenate(waiting)
            yield joined[:BLOCK]
            waiting, length = [joined[BLOCK:]], length - BLOCK
    if length:
        yield np.concatenate(waiting)


def phrases(probabilities: NDArray[np.float32], pauses: Pauses) -> list[Span]:
    """Spans of speech between pauses, in seconds, without what goes around them.

    `probabilities`: (frames,). Speech begins where it is likely, and ends where it is unlikely for
    as long as a pause.
    """
    second = RATE / FRAME
    found: list[Span] = []
    begun: int | None = None
    quiet = 0
    for frame, probability in enumerate(probabilities):
        if begun is None:
            if probability >= BEGINS:
                begun, quiet = frame, 0
            continue
        quiet = quiet + 1 if probability < ENDS else 0
        if quiet >= pauses.pause * second:
            found.append((begun / second, (frame + 1 - quiet) / second))
            begun = None
    if begun is not None:
        found.append((begun / second, (len(probabilities) - quiet) / second))
    return found


def segments(probabilities: NDArray[np.float32], pauses: Pauses = Pauses()) -> list[Span]:
    """Segments of speech in seconds, in order, none of which overlap.

    Phrases that are near are joined while they are no longer together than a segment may be; one
    that is longer by itself is parted where speech is the least likely. Some of the pause goes with
    each. What stays shorter than a segment has to be is left out.
    """
    length = len(probabilities) * FRAME / RATE
    parted = [
        part
        for phrase in phrases(probabilities, pauses)
        for part in _parted(phrase, probabilities, pauses)
    ]
    joined: list[Span] = []
    for begin, end in parted:
        if joined:
            before = joined[-1]
            room = pauses.longest - 2 * pauses.around
            if begin - before[1] <= pauses.join and end - before[0] <= room:
                joined[-1] = (before[0], end)
                continue
        joined.append((begin, end))
    return [one for one in _widened(joined, length, pauses) if one[1] - one[0] >= pauses.shortest]


def _parted(phrase: Span, probabilities: NDArray[np.float32], pauses: Pauses) -> list[Span]:
    """A phrase in parts that are short enough, each end where speech is the least likely.

    Looked for in the middle half, over 96 ms: nobody breathes shorter.
    """
    begin, end = phrase
    if end - begin <= pauses.longest - 2 * pauses.around:
        return [phrase]
    second = RATE / FRAME
    first, last = (
        round(t * second) for t in (0.75 * begin + 0.25 * end, 0.25 * begin + 0.75 * end)
    )
    around = np.convolve(probabilities[first:last], np.ones(3) / 3, mode="valid")
    cut = (first + int(around.argmin()) + 1.5) / second
    return [
        part for half in ((begin, cut), (cut, end)) for part in _parted(half, probabilities, pauses)
    ]


def _widened(spans: Sequence[Span], length: float, pauses: Pauses) -> list[Span]:
    """Spans with what is around them, up to half of the pause on each side."""
    ends = [0.0, *(end for _, end in spans)]
    begins = [*(begin for begin, _ in spans), length]
    found = []
    for number, (begin, end) in enumerate(spans):
        before, after = begin - ends[number], begins[number + 1] - end
        first = number == 0
        last = number == len(spans) - 1
        left = min(pauses.around, before if first else before / 2)
        right = min(pauses.around, after if last else after / 2)
        found.append((begin - left, end + right))
    return found
