"""What recordings differ by from the speech that codebooks are of."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from revoice.codec.channel import (
    BINS,
    COEFFICIENTS,
    FREQUENCIES,
    UNHEARD,
    Channel,
    coefficients,
    envelopes,
    find,
)

FLOOR = -18.0
Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def known() -> Floats:
    """Entries: hisses and vowels whose lows tell their highs."""
    random = np.random.default_rng(1)
    tilt, bump = random.uniform(-6, 2, 300), random.uniform(300, 6000, 300)
    at = FREQUENCIES / 12000
    level = random.uniform(-9, -5, 300)
    bumps = 2 * np.exp(-(((FREQUENCIES - bump[:, None]) / 800) ** 2))
    return coefficients(np.exp(level[:, None] + tilt[:, None] * at + bumps))


def nearest_in(known: Floats) -> Callable[[Floats], NDArray[np.int64]]:
    return lambda found: np.square(found[:, None] - known).sum(2).argmin(1)


def through(frames: Floats, gain: Floats, highest: float) -> Floats:
    power = envelopes(frames) * np.exp(gain)
    power[:, highest < FREQUENCIES] = np.exp(FLOOR - 6)
    return coefficients(power)


def test_a_room_is_found_and_taken_off(known: Floats) -> None:
    room = 1.5 * np.cos(FREQUENCIES / 1500) - 1
    recorded = through(known, room, 12000)
    channel = find(recorded, FLOOR, known, FLOOR, nearest_in(known))
    assert channel.band == BINS
    heard = (FREQUENCIES > 200) & (FREQUENCIES < 11000)
    assert np.abs(channel.gain - room)[heard].max() < 0.5
    assert np.abs(channel.taken_off(recorded) - known).max() < 0.3


@pytest.mark.parametrize("highest", [3400, 8000])
def test_what_a_telephone_leaves_out_is_filled_in(known: Floats, highest: float) -> None:
    recorded = through(known, np.zeros(BINS), highest)
    channel = find(recorded, FLOOR, known, FLOOR, nearest_in(known))
    assert 0.85 * highest < FREQUENCIES[channel.band] < highest
    off = np.abs(recorded - known).mean(), np.abs(channel.taken_off(recorded) - known).mean()
    assert off[1] < off[0] / 4
    nearest = nearest_in(known)
    same = (nearest(channel.taken_off(recorded)) == np.arange(len(known))).mean()
    assert same > 0.6 > 0.2 > (nearest(recorded) == np.arange(len(known))).mean()


def test_a_channel_is_put_on_again(known: Floats) -> None:
    channel = Channel(np.full(BINS, 0.5, np.float32), 300, known, FLOOR)
    power = channel.put_on(np.ones((2, BINS)))
    assert power[:, :300] == pytest.approx(np.exp(0.5))
    assert power[:, 300:] == pytest.approx(np.exp(-UNHEARD))


def test_quiet_and_loud_are_filled_in_as_loud_as_they_are(known: Floats) -> None:
    channel = Channel(np.zeros(BINS, np.float32), 300, known, FLOOR)
    loud = envelopes(channel.taken_off(known))[:, 320:]
    softer = envelopes(channel.taken_off(coefficients(envelopes(known) * np.exp(-1.5))))[:, 320:]
    assert np.median(np.log(loud / softer)) == pytest.approx(1.5, abs=0.3)


def test_nothing_to_take_off(known: Floats) -> None:
    channel = Channel(np.zeros(BINS, np.float32), 300, known, FLOOR)
    assert channel.taken_off(np.zeros((0, COEFFICIENTS))).shape == (0, COEFFICIENTS)
