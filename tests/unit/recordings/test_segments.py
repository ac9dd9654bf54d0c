"""Segments of speech in recordings of any length."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from revoice.corpus import segments as module
from revoice.recordings.segments import FRAME, RATE, Pauses, phrases, segments, speech

SECOND = RATE / FRAME  # frames


def spoken(*parts: tuple[float, float]) -> NDArray[np.float32]:
    """Probabilities: so many seconds of each."""
    return np.concatenate([np.full(round(t * SECOND), p, np.float32) for t, p in parts])


def test_phrases_end_at_pauses() -> None:
    found = phrases(spoken((1, 0), (2, 0.9), (0.1, 0), (1, 0.9), (0.5, 0), (1, 0.8)), Pauses())
    assert found == [pytest.approx(one, abs=0.05) for one in ((1, 4.1), (4.6, 5.6))]
    assert phrases(spoken((3, 0.4)), Pauses()) == []
    assert len(phrases(spoken((1, 0.9), (1, 0.4), (1, 0.9)), Pauses())) == 1, "no clear pause"


def test_near_phrases_are_joined_and_far_ones_are_not() -> None:
    found = segments(spoken((1, 0), (2, 0.9), (0.6, 0), (3, 0.9), (2, 0), (1.5, 0.9), (1, 0)))
    assert found == [pytest.approx(one, abs=0.05) for one in ((0.85, 6.75), (8.45, 10.25))]


def test_a_long_phrase_is_parted_where_it_is_quietest() -> None:
    found = segments(spoken((9, 0.9), (0.1, 0.4), (9, 0.9)))
    assert len(found) == 2
    assert found[0][1] == pytest.approx(9.05, abs=0.05)
    assert found[0][1] <= found[1][0]


@pytest.mark.parametrize("seed", range(20))
def test_segments_are_in_order_and_of_the_lengths_asked_for(seed: int) -> None:
    random = np.random.default_rng(seed)
    parts = [
        (random.uniform(0.05, 8 if level else 2), random.uniform(0.6, 1) if level else 0.05)
        for level in random.integers(0, 2, 60)
    ]
    probabilities, pauses = spoken(*parts), Pauses()
    found = segments(probabilities, pauses)
    assert found
    for begin, end in found:
        assert pauses.shortest <= end - begin <= pauses.longest + 1e-6
    assert all(one[1] <= other[0] + 1e-9 for one, other in pairwise(found))
    assert found[0][0] >= 0
    assert found[-1][1] <= len(probabilities) / SECOND
    inside = np.zeros(len(probabilities), bool)
    for begin, end in found:
        inside[int(begin * SECOND) : int(np.ceil(end * SECOND))] = True
    likely = probabilities > 0.5
    assert inside[likely].mean() > 0.9


def test_what_is_shorter_is_left_out() -> None:
    assert segments(spoken((3, 0), (0.4, 0.9), (3, 0))) == []
    assert segments(np.zeros(0, np.float32)) == []


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording of any length is heard a block at a time."""
    lengths: list[int] = []

    def detector(samples: NDArray[np.float32]) -> NDArray[np.float32]:
        lengths.append(len(samples))
        return np.abs(samples.reshape(-1, FRAME)).mean(1)

    monkeypatch.setattr(module, "_detector", lambda: detector)
    monkeypatch.setattr(module, "BLOCK", 100 * FRAME)
    monkeypatch.setattr(module, "BEFORE", 10 * FRAME)
    samples = np.random.default_rng(1).normal(size=1234 * FRAME + 77).astype(np.float32)
    parts = [samples[i : i + 12345] for i in range(0, len(samples), 12345)]
    found = np.concatenate(list(speech(parts)))
    assert len(found) == 1235
    assert max(lengths) <= 110 * FRAME
    padded = np.pad(samples, (0, FRAME - 77))
    assert np.allclose(found, np.abs(padded.reshape(-1, FRAME)).mean(1), atol=1e-6)
