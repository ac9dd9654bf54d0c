"""Where somebody speaks in a recording of any length, cut at pauses into segments.

A network says how likely each 32 ms are speech; how loud each 10 ms are says where exactly a word
has faded, and where a cut does the least harm.
"""

import importlib
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from revoice.corpus.audio import SAMPLE_RATE, SILENCE

log = logging.getLogger(__name__)

RATE = 16000  # Hz: what the detector hears
FRAME = 512  # samples that it says one probability of, 32 ms
CONTEXT = 64  # samples before them that it hears with them
BEGINS, ENDS = 0.5, 0.35  # speech begins at one probability, and ends below the other
SURE = 0.6  # the mean in a phrase: of noise it is below, of speech in loud noise 0.75
STEP = SAMPLE_RATE // 100  # samples of one level, 10 ms; spans are counted in these
BLOCK = 10 * SAMPLE_RATE  # samples in memory at a time
FADED = 5.0  # dB above the quietest of a pause: what is louder belongs to a word
LOUD = 20.0  # dB by which certain speech is louder than what is none
FADING = 50  # steps beside speech in which a word may still be heard
HELD = 8  # steps for which the network goes on hearing speech at most
BREATH = 15  # steps of a pause in a sentence: the stop before a `t` or a `k` is shorter

Span = tuple[float, float]  # begin and end in seconds
Steps = tuple[int, int]  # the same in hundredths
Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Pauses:
    """Seconds: what separates phrases, what may join them, and how much of it goes with each."""

    shortest: float = 1.0  # of a segment
    longest: float = 15.0
    pause: float = 0.2  # a shorter one is none
    join: float = 0.8  # phrases this far apart may be one segment
    rescue: float = 2.0  # and these where one is too short to be a segment
    around: float = 0.15  # kept on both sides; of a short pause, up to where it is quietest


def find_segments(path: Path, pauses: Pauses = Pauses()) -> list[Span]:
    """Segments of a WAV file, 24 kHz mono, as `segments` gives them.

    Ten seconds of it are in memory at a time. Raises ValueError for another kind of audio, and
    soundfile.LibsndfileError where there is none.
    """
    likely = np.concatenate([np.zeros(0, np.float32), *speech(_resampled(path))])
    return segments(likely, levels_of(path), pauses)


def levels_of(path: Path) -> Samples:
    """How loud a WAV file, 24 kHz mono, is: (steps,), dB of full scale, one for each 10 ms."""
    found = [np.zeros(0, np.float32)]
    for block in _blocks(path, "int16"):
        samples = np.pad(block.astype(np.int64), (0, -len(block) % STEP)).reshape(-1, STEP)
        power = np.square(samples).sum(1) / (STEP * 2.0**30)  # integers: the same anywhere
        found.append((10 * np.log10(np.maximum(power, SILENCE**2))).astype(np.float32))
    return np.concatenate(found)


def _resampled(path: Path) -> Iterator[Samples]:
    stream = soxr.ResampleStream(SAMPLE_RATE, RATE, 1)
    for block in _blocks(path, "float32"):
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _blocks(path: Path, dtype: str) -> Iterator[NDArray[Any]]:
    with soundfile.SoundFile(path) as file:
        if (file.samplerate, file.channels) != (SAMPLE_RATE, 1):
            raise ValueError(f"{path} is not {SAMPLE_RATE} Hz mono")
        yield from file.blocks(BLOCK, dtype=dtype)


@cache
def _detector() -> Any:
    """Silero's network, which faster-whisper carries; it runs on one thread."""
    return importlib.import_module("faster_whisper.vad").get_vad_model().session


def speech(samples: Iterable[Samples]) -> Iterator[Samples]:
    """Probabilities of speech, one for each frame of 32 ms, of 16 kHz mono as it comes.

    `samples`: parts of a recording (N,) in order; where they part changes nothing. Yields (frames,)
    for each. What is left at the end is filled up with silence.
    """
    state = {name: np.zeros((1, 1, 128), np.float32) for name in "hc"}
    heard = np.zeros(CONTEXT, np.float32)
    for part in chain(samples, [None]):
        last = np.zeros((CONTEXT - len(heard)) % FRAME, np.float32)
        heard = np.concatenate([heard, last if part is None else part])
        if len(heard) >= CONTEXT + FRAME:
            frames = np.ascontiguousarray(sliding_window_view(heard, CONTEXT + FRAME)[::FRAME])
            likely, state["h"], state["c"] = _detector().run(None, {"input": frames, **state})
            heard = heard[len(frames) * FRAME :]
            yield likely.reshape(-1)


def segments(likely: Samples, levels: Samples, pauses: Pauses = Pauses()) -> list[Span]:
    """Segments of speech in seconds, in order, none of which overlap.

    `likely` (frames,): of each 32 ms the probability of speech; `levels` (steps,): of each 10 ms
    the loudness in dB. Phrases are joined over the shortest pauses first, while together they are
    no longer than a segment may be; one that is longer by itself is parted where it is quietest.
    What stays shorter than a segment has to be is left out, and the log says how much.
    """
    levels = _smooth(levels)
    around, room = round(100 * pauses.around), round(100 * (pauses.longest - 2 * pauses.around))
    whole = _to_where_they_fade(phrases(likely, pauses), levels)
    parted = [part for phrase in whole for part in _parted(phrase, likely, levels, room)]
    joined = _joined(parted, room, 100 * pauses.join)
    lone = 100 * pauses.shortest - 2 * around  # shorter, it is no segment
    wide = _widened(_joined(joined, room, 100 * pauses.rescue, lone), levels, around)
    kept = [one for one in wide if one[1] - one[0] >= 100 * pauses.shortest]
    if len(kept) < len(wide):
        log.info("speech: %d of %d stretches are too short", len(wide) - len(kept), len(wide))
    return [(begin / 100, end / 100) for begin, end in kept]


def _smooth(levels: Samples) -> Samples:
    """The mean of each and its neighbours: single levels of noise vary."""
    padded = np.pad(levels, 1, mode="edge") if len(levels) else levels
    return ((padded[:-2] + padded[1:-1] + padded[2:]) / 3).astype(np.float32)


def phrases(likely: Samples, pauses: Pauses = Pauses()) -> list[Steps]:
    """Spans of speech between pauses, in steps of 10 ms, without what goes around them.

    `likely`: (frames,). Speech begins where it is likely, and ends where it is unlikely for as
    long as a pause. Loud noise that may be speech for a moment is none.
    """
    step = 100 * FRAME / RATE  # of a frame
    found: list[tuple[int, int]] = []
    begun: int | None = None
    quiet = 0
    for frame, probability in enumerate(likely.tolist()):
        if begun is None:
            if probability >= BEGINS:
                begun, quiet = frame, 0
            continue
        quiet = quiet + 1 if probability < ENDS else 0
        if quiet * step >= 100 * pauses.pause:
            found.append((begun, frame + 1 - quiet))
            begun = None
    if begun is not None:
        found.append((begun, len(likely) - quiet))
    sure = [(begin, end) for begin, end in found if likely[begin:end].mean() >= SURE]
    return [(round(begin * step), round(end * step)) for begin, end in sure]


def _to_where_they_fade(spans: Sequence[Steps], levels: Samples) -> list[Steps]:
    """Spans with the soft sounds that words begin and end with, which the network does not hear."""
    ends = [0, *(end for _, end in spans)]
    begins = [*(begin for begin, _ in spans), len(levels)]
    return [
        (
            begin - _fading(levels[max(before, begin - FADING) : begin][::-1]),
            held + _fading(levels[held : min(after, end + FADING)]),
        )
        for before, (begin, end), after in zip(ends, spans, begins[1:], strict=False)
        for held in (max(begin, end - HELD),)
    ]


def _fading(pause: Samples) -> int:
    """How many steps a pause (steps,) is louder than its quietest, with gaps as inside a word."""
    if not len(pause):
        return 0
    before = pause[: pause.argmin()] > pause.min() + FADED
    loud = np.flatnonzero(np.append(True, before))
    apart = np.flatnonzero(np.diff(loud) > BREATH)
    return int(loud[apart[0] if len(apart) else -1])


def _parted(phrase: Steps, likely: Samples, levels: Samples, room: int) -> list[Steps]:
    """A phrase in parts that are short enough, cut in its middle half where it is quietest.

    Over the time of a breath, that is: the stop before a `t` is as quiet, but shorter. Where music
    goes on, what is likely to be speech counts as loud.
    """
    begin, end = phrase
    if end - begin <= room:
        return [phrase]
    first, last = (3 * begin + end) // 4, (begin + 3 * end) // 4
    frames = np.arange(first, last) * (RATE // 100) // FRAME
    busy = levels[first:last] + LOUD * likely[frames]
    breath = int(np.convolve(busy, np.ones(BREATH), mode="valid").argmin())
    cut = _quietest(levels, first + breath, first + breath + BREATH)
    halves = (begin, cut), (cut, end)
    return [part for half in halves for part in _parted(half, likely, levels, room)]


def _quietest(levels: Samples, begin: int, end: int) -> int:
    return begin + int(levels[begin:end].argmin()) if end > begin else begin


def _joined(
    spans: Sequence[Steps], room: int, farthest: float, shorter: float = math.inf
) -> list[Steps]:
    """Spans joined over gaps of at most `farthest`, the shortest gap first.

    None gets longer than `room`; one of two that are joined is `shorter` than this.
    """
    first, last = list(range(len(spans))), list(range(len(spans)))  # of the group with that end
    gaps = [begin - end for (_, end), (begin, _) in pairwise(spans)]
    apart = [True] * len(gaps)
    for gap in sorted(range(len(gaps)), key=gaps.__getitem__):
        begin, end = first[gap], last[gap + 1]
        lengths = spans[gap][1] - spans[begin][0], spans[end][1] - spans[gap + 1][0]
        together = sum(lengths) + gaps[gap]
        if gaps[gap] <= farthest and together <= room and min(lengths) < shorter:
            first[end], last[begin], apart[gap] = begin, end, False
    begins = [begin for (begin, _), new in zip(spans, [True, *apart], strict=False) if new]
    ends = [end for (_, end), done in zip(spans, [*apart, True], strict=False) if done]
    return list(zip(begins, ends, strict=True))


def _widened(spans: Sequence[Steps], levels: Samples, around: int) -> list[Steps]:
    """Spans with what is around them; of a short pause, up to where its middle is quietest."""
    cuts = [0]
    for (_, end), (begin, _) in pairwise(spans):
        quarter = (begin - end) // 4
        cuts.append(_quietest(levels, end + quarter, begin - quarter))
    cuts.append(len(levels))
    return [
        (max(before, begin - around), min(after, end + around))
        for (begin, end), (before, after) in zip(spans, pairwise(cuts), strict=False)
    ]
