"""How good a segment sounds, and an embedding of who speaks in it."""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import librosa
import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from lhotse.cut import Cut
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from revoice.codec.cuts import load_mono
from revoice.corpus.audio import SAMPLE_RATE
from revoice.evaluation import measures

AROUND = 0.5  # seconds before and after a segment in which noise is heard
WIDTH = 256  # of an embedding
WINDOW = 144160  # samples at 16 kHz that DNSMOS hears at a time
BATCH = 16  # segments that a process takes at once

FRAME = SAMPLE_RATE // 50
QUIETEST = 0.02  # of the frames: fluent speech has few pauses
ACTIVE = 10 ** (-20 / 10)  # of the power of loud frames: what is softer is a pause
HIGHEST_SNR = 60.0  # decibels: beyond, it is 16 bits that are measured

STEP = 0.02  # of the peak: how far from their level clipped samples lie, half of it on each side
LOWEST_LEVEL = 0.4  # of the peak: where samples may be clipped, since ringing and clicks go higher
HEAPED = 2.5  # times as many samples as just below: no speech has that by itself
FEWEST = 10  # samples that may be a heap

BAND = 250  # Hz
CARRIES = 10 ** (10 / 10)  # power of loud frames by that of quiet ones: below, it may be noise
FAINTEST = 10 ** (-50 / 10)  # of the loudest band: below, it may be what a filter let through
SURE = 1000 // BAND  # bands that speech has, even where hum covers one

Samples = NDArray[np.float32]


class Quality(NamedTuple):
    """What is measured of a segment."""

    dnsmos: float  # opinion that DNSMOS predicts, 1 to 5
    snr: float  # decibels of speech above noise, 0 to 60
    clipping: float  # share of samples that are clipped
    bandwidth: float  # Hz up to which there is speech, a multiple of 250


def assess(samples: Samples, around: Samples | None = None) -> Quality:
    """Measure one segment.

    Args:
        samples: (N,) float32 at 24 kHz, at least 40 ms.
        around: the same with up to half a second more on both sides, where noise is heard; None:
            it is heard in the segment alone.

    Raises ValueError where the segment is shorter.
    """
    if len(samples) < 2 * FRAME:
        raise ValueError(f"{len(samples)} samples are too few to be assessed")
    around = samples if around is None else around
    return Quality(
        _opinion(_at_16_khz(samples)),
        _signal_to_noise(_powers(samples), _powers(around)),
        _clipped(samples),
        _bandwidth(_bands(samples), _bands(around)),
    )


def embedding(samples: Samples) -> NDArray[np.float32]:
    """(256,) float32 of length 1 for (N,) samples at 24 kHz; zeros where no voice is found."""
    try:
        return measures.embedding(_at_16_khz(samples))
    except ValueError:  # so that every segment has a row
        return np.zeros(WIDTH, np.float32)


def assess_cuts(cuts: Iterable[Cut], num_jobs: int) -> tuple[pd.DataFrame, NDArray[np.float16]]:
    """Measure all segments, in processes of one thread each; their number changes no result.

    Of a recording, what is read is a segment and half a second around it. `cuts` are read as they
    are needed.

    Returns:
        A table in the order of the cuts: `id` and what `Quality` has, rounded; and embeddings
        (cuts, 256).

    Raises ValueError, naming the file, where it cannot be read or is not 24 kHz mono.
    """
    given = iter(cuts)
    batches = iter(lambda: list(itertools.islice(given, BATCH)), [])
    done = Parallel(n_jobs=num_jobs)(delayed(_assess_batch)(batch) for batch in batches)
    rows = [row for of_batch, _ in done for row in of_batch]
    table = pd.DataFrame(rows, columns=["id", *Quality._fields])
    return table, np.concatenate([np.zeros((0, WIDTH), np.float16), *(some for _, some in done)])


def _assess_batch(cuts: list[Cut]) -> tuple[list[tuple[object, ...]], NDArray[np.float16]]:
    rows, embeddings = [], []
    with _one_thread():  # the order of threads would show in the last digits
        for cut in cuts:
            samples, around = _read(cut)
            found = assess(samples, around)
            rows.append((cut.id, *(round(x, 3) for x in found[:-1]), round(found.bandwidth)))
            embeddings.append(embedding(samples).astype(np.float16))
    return rows, np.stack(embeddings)


def _read(cut: Cut) -> tuple[Samples, Samples]:
    """The samples of a cut, and with what is around them."""
    wide = cut.extend_by(duration=AROUND, preserve_id=True, pad_silence=False)
    around = load_mono(wide, SAMPLE_RATE)
    first = round((cut.start - wide.start) * SAMPLE_RATE)
    return around[first : first + cut.num_samples], around


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def _at_16_khz(samples: Samples) -> Samples:
    resampled = librosa.resample(samples, orig_sr=SAMPLE_RATE, target_sr=measures.RATE)
    return resampled.clip(-1, 1)  # a filter goes beyond, and 16 bits would not


def _opinion(samples: Samples) -> float:
    """DNSMOS of as few windows as hear all of it; what is shorter than one is repeated."""
    number = -(-len(samples) // WINDOW)
    if number == 1:
        return measures.dnsmos(np.resize(samples, WINDOW))
    begins = np.linspace(0, len(samples) - WINDOW, number).astype(int)
    return float(np.mean([measures.dnsmos(samples[i : i + WINDOW]) for i in begins]))


def _powers(samples: Samples) -> NDArray[np.float64]:
    """Of every 20 ms; variance, so that neither an offset nor rumble counts."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    return frames.var(axis=1, dtype=np.float64)


def _signal_to_noise(powers: NDArray[np.float64], around: NDArray[np.float64]) -> float:
    """Decibels that active speech is above noise, which is what the quietest frames have.

    Digital silence is no noise: it may be a gap in a recording that is noisy.
    """
    sounding = around[around > 0]
    if not len(sounding) or not powers.any():
        return 0.0
    noise = np.quantile(sounding, QUIETEST)
    loud = np.quantile(powers, 0.95)
    active = powers[(powers > 2 * noise) & (powers - noise > ACTIVE * (loud - noise))]
    if not len(active):
        return 0.0
    return float(min(10 * np.log10(active.mean() / noise - 1), HIGHEST_SNR))


def _clipped(samples: Samples) -> float:
    """Share of samples that are more than there should be where they heap up.

    The higher a level, the fewer samples of speech are there, but for the one at which they were
    clipped. They lie around it, since a recording is resampled. Each sign has a level of its own.
    """
    clipped = 0
    for side in (samples, -samples):
        peak = side.max()
        if peak <= 0:
            continue
        edges = np.arange(LOWEST_LEVEL - 2 * STEP, 1 + 1.5 * STEP, STEP / 2)
        counts, _ = np.histogram(side / peak, edges)
        within = np.convolve(counts, np.ones(4, int), "valid")  # two steps, from each edge on
        here, below = within[4:], within[:-4]
        heaped = (here >= FEWEST) & (here > HEAPED * below)
        clipped += (here - below)[heaped].max(initial=0)
    return float(clipped / len(samples))


def _bands(samples: Samples) -> NDArray[np.float64]:
    """(frames, bands) power of every 40 ms, half of which overlap, in bands of 250 Hz."""
    frames = librosa.util.frame(samples, frame_length=2 * FRAME, hop_length=FRAME, axis=0)
    spectra = np.abs(np.fft.rfft(frames * np.hanning(2 * FRAME), axis=1)) ** 2
    width = BAND * 2 * FRAME // SAMPLE_RATE
    return spectra[:, 1:].reshape(len(spectra), -1, width).mean(axis=2)


def _bandwidth(bands: NDArray[np.float64], around: NDArray[np.float64]) -> float:
    """Hz up to which bands are louder in speech than in pauses; a single one may be missing."""
    loud, quiet = np.quantile(bands, 0.99, axis=0), np.quantile(around, 0.1, axis=0)
    carries = (loud > CARRIES * quiet) & (loud > FAINTEST * loud.max())
    if not carries.any():
        return 0.0
    carries[:SURE] = True
    silent = ~np.append(carries, [False, False])
    return float((silent[:-1] & silent[1:]).argmax() * BAND)
