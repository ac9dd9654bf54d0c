"""What recordings differ by from the speech that a WORLD codec's codebooks are of.

A room and a microphone change every envelope alike: that is taken off before codes are chosen, and
put on again afterwards. A telephone lets nothing through above some frequency: that is filled in as
the codebooks know it of frames that are alike below, since a hiss without its highs would be taken
for another sound; and it is left out again afterwards.
"""

from collections.abc import Callable

import numpy as np
import pyworld
from numpy.typing import NDArray

from revoice.codec.search import ResidualCodec, Search

RATE = ResidualCodec.sample_rate  # Hz
FFT = pyworld.get_cheaptrick_fft_size(RATE)
BINS = FFT // 2 + 1
COEFFICIENTS = 48
FREQUENCIES = np.arange(BINS) * RATE / FFT
MELS = np.log1p(FREQUENCIES / 700)

POINTS = 60  # of an envelope, evenly spread in mels, that are compared to fill the others in
LOWEST = 60.0  # Hz: the first of them
LEVEL = 0.4  # what a difference of level weighs beside one of shape
LOUDER = 2.0  # nepers: what is filled in differs in level from what is known by no more
UNHEARD = 8.0  # nepers below what is filled in: what becomes of it in the end
SLOPE = 0.93  # of the highest frequency that is heard: from here on a filter has its effect
ROUNDS = 10
STEPS = 256  # of a neper, to which a channel is rounded: no BLAS shows in it

Floats = NDArray[np.floating]


def envelopes(coefficients: Floats) -> NDArray[np.float64]:
    """Mel-cepstral coefficients (T, 48) to power (T, BINS)."""
    contiguous = np.ascontiguousarray(coefficients, np.float64)
    return pyworld.decode_spectral_envelope(contiguous, RATE, FFT)


def coefficients(power: Floats) -> NDArray[np.float64]:
    """Power (T, BINS) to mel-cepstral coefficients (T, 48)."""
    contiguous = np.ascontiguousarray(power, np.float64)
    return pyworld.code_spectral_envelope(contiguous, RATE, COEFFICIENTS)


class Channel:
    """What is the same in all envelopes of some recordings.

    Args:
        gain: (BINS,) logarithms of power by which they are above what codebooks know.
        band: how many of the bins are heard at all.
        known: (K, 48) coefficients of a codebook's entries.
        floor: logarithm of the power below which a spectrum counts as silence.
    """

    def __init__(self, gain: Floats, band: int, known: Floats, floor: float) -> None:
        self.gain, self.band, self._floor = gain, band, floor
        self.known = np.log(envelopes(known))
        ends = np.log1p(LOWEST / 700), MELS[band - 1]
        self._points = np.abs(MELS[:, None] - np.linspace(*ends, POINTS)).argmin(0)
        compared, self._levels = self._compared(self.known)
        self._search = Search(compared)

    def _compared(self, logs: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What is compared of logarithms (T, BINS), and the level (T,) of what is heard of them."""
        heard = np.logaddexp(logs[:, self._points], self._floor)
        level = heard.mean(1)
        shape = (heard - level[:, None]) / POINTS**0.5
        return np.concatenate((shape, LEVEL * level[:, None]), 1), level

    def taken_off(self, recorded: Floats) -> NDArray[np.float64]:
        """Coefficients (T, 48) as they would be had the channel not been there."""
        if not len(recorded):
            return np.zeros((0, COEFFICIENTS))
        logs = np.log(envelopes(recorded)) - self.gain
        if self.band < BINS:
            compared, level = self._compared(logs)
            like = self._search.nearest(compared)
            louder = np.clip(level - self._levels[like], -LOUDER, LOUDER)
            logs[:, self.band :] = self.known[like, self.band :] + louder[:, None]
        return coefficients(np.exp(logs))

    def put_on(self, power: Floats) -> NDArray[np.float64]:
        """Power (T, BINS) as it sounds through the channel."""
        heard = np.arange(BINS) < self.band
        return np.asarray(power * np.exp(np.where(heard, self.gain, -UNHEARD)), np.float64)


def find(
    recorded: Floats,
    own_floor: float,
    known: Floats,
    floor: float,
    nearest: Callable[[NDArray[np.float64]], NDArray[np.int64]],
) -> Channel:
    """The channel of loud frames (T, 48), in whose place codebooks have (K, 48) entries `known`.

    It is what leaves nothing on average to the codebooks after the first (signal bias removal;
    Rahim and Juang, 1996).

    Args:
        own_floor: like `floor`, of the recordings themselves: what is never above it is not heard.
        nearest: which entry (T,) a frame without the channel, (T, 48), is given.
    """
    logs = np.log(envelopes(recorded))
    heard = np.flatnonzero(np.percentile(logs, 95, axis=0) > own_floor)
    band = int(heard[-1]) + 1 if len(heard) else BINS
    band = BINS if FREQUENCIES[band - 1] > 0.95 * RATE / 2 else int(SLOPE * band)
    loud = np.log(envelopes(known[known[:, 0] > floor]))
    gain = logs.mean(0) - loud.mean(0)
    for _ in range(ROUNDS + 1):
        gain[band:] = 0
        gain = np.round(gain * STEPS) / STEPS
        channel = Channel(gain.astype(np.float32), band, known, floor)
        found = channel.taken_off(recorded)
        gain = gain + (np.log(envelopes(found)) - channel.known[nearest(found)]).mean(0)
    return channel
