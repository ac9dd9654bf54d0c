"""What is done to pieces of speech before they are one: silence off, equal loudness, pace, pauses.

Samples are (N,) floats, mono, in [-1, 1], at `rate` Hz, and come back as float32. Those that are
of another shape or not finite raise ValueError.
"""

from contextlib import suppress
from fractions import Fraction
from typing import cast

import av
import av.filter
import numpy as np
import pyloudnorm
import soxr
from numpy.typing import NDArray

from revoice.codec.search import check_samples

Samples = NDArray[np.float32]

SILENCE = 1e-4  # a lower peak is no sound: -80 dB of full scale
QUIET = 1e-4  # of the loudest frame's power, -40 dB: what has less is no speech
FRAME, HOP = 0.02, 0.005  # seconds
EMPHASIS = 0.97
FADE = 0.005
PEAK = 10 ** (-1 / 20)
GATE = 0.4  # seconds whose loudness BS.1770 looks at, and the shortest that it has one of
SLOWEST, FASTEST = 0.5, 2.0
LONG_ENOUGH = 0.1  # seconds; atempo makes nothing of less than two of its windows
OVERSAMPLED = 4  # as BS.1770 has it for true peaks


def trimmed(samples: Samples, rate: int, keep: float = 0.05) -> Samples:
    """Without the silence at both ends, but `keep` seconds of it: empty where all is silent.

    Silence is what is 40 dB below the loudest 20 ms, before and after pre-emphasis: the first finds
    the hum at the end of "him", the second the hiss at that of "his". Both ends are faded over 5 ms
    against clicks.
    """
    check_samples(samples)
    if np.abs(samples).max(initial=0) < SILENCE:
        return np.zeros(0, np.float32)
    sharp = samples - EMPHASIS * np.append(samples[:1], samples[:-1])
    begins, ends = zip(*(_loud(heard, rate) for heard in (samples, sharp)), strict=True)
    margin = round(keep * rate)
    return _faded(samples[max(0, min(begins) - margin) : max(ends) + margin], round(FADE * rate))


def levelled(samples: Samples, rate: int, loudness: float = -23.0) -> Samples:
    """As loud as `loudness` in LUFS (ITU-R BS.1770, by pyloudnorm), so that pieces go together.

    It is one gain for all samples, less where the true peak would be above -1 dB of full scale.
    Under 0.4 s the loudness is that of the whole, without gates. Silence, what BS.1770 gates off
    altogether, stays as it is.
    """
    check_samples(samples)
    samples = np.asarray(samples, np.float32)
    measured = loudness_of(samples, rate)
    if np.isneginf(measured):
        return samples
    peak = np.abs(soxr.resample(samples, rate, OVERSAMPLED * rate)).max(initial=0)
    peak = max(peak, np.abs(samples).max())
    return samples * np.float32(min(10 ** ((loudness - measured) / 20), PEAK / peak))


def loudness_of(samples: Samples, rate: int) -> float:
    """Integrated loudness in LUFS; -inf for silence."""
    if not len(samples):
        return -np.inf
    seconds = (len(samples) - 0.5) / rate  # rounded, they must not be more than there are
    return float(pyloudnorm.Meter(rate, block_size=min(GATE, seconds)).integrated_loudness(samples))


def stretched(samples: Samples, rate: int, speed: float) -> Samples:
    """So many times as fast, 0.5 to 2, at the same pitch: N / speed samples, give or take 60 ms.

    By FFmpeg's atempo, which overlaps pieces of the waveform where they fit (WSOLA): the first and
    the last sample stay the first and the last. Less than 0.1 s has no pace and stays as it is.
    Raises ValueError for another speed.
    """
    check_samples(samples)
    if not SLOWEST <= speed <= FASTEST:
        raise ValueError(f"the speed {speed:g} is not within {SLOWEST:g} and {FASTEST:g}")
    samples = np.asarray(samples, np.float32)
    if speed == 1 or len(samples) < LONG_ENOUGH * rate:
        return samples
    graph = av.filter.Graph()
    time = Fraction(1, rate)
    source = graph.add_abuffer(sample_rate=rate, format="flt", layout="mono", time_base=time)
    graph.link_nodes(source, graph.add("atempo", str(speed)), graph.add("abuffersink")).configure()
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="flt", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = rate, time, 0
    graph.push(frame)
    graph.push(None)
    parts: list[Samples] = []
    with suppress(EOFError):
        while True:
            part = cast(av.AudioFrame, graph.pull()).to_ndarray()
            parts.append(np.asarray(part, np.float32).ravel())
    return np.concatenate(parts)


def _loud(samples: Samples, rate: int) -> tuple[int, int]:
    """The samples from the first frame that is not quiet to the last."""
    frame, hop = round(FRAME * rate), round(HOP * rate)
    power = np.square(np.pad(samples, (0, frame)), dtype=np.float64)
    frames = np.lib.stride_tricks.sliding_window_view(power, frame)[::hop].mean(axis=1)
    loud = np.flatnonzero(frames >= QUIET * frames.max())
    return int(loud[0]) * hop, int(loud[-1]) * hop + frame


def _faded(samples: Samples, length: int) -> Samples:
    """With a linear fade of so many samples at both ends, or of half of what there is."""
    length = min(length, len(samples) // 2)
    faded = samples.astype(np.float32)  # a copy
    ramp = np.linspace(0, 1, length, endpoint=False, dtype=np.float32)
    faded[:length] *= ramp
    faded[len(faded) - length :] *= ramp[::-1]
    return faded
