"""What becomes of a reading: trimmed, levelled, refused, and heard."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from revoice.corpus.audio import SAMPLE_RATE
from revoice.synthetic.hearing import misheard
from revoice.synthetic.voices import (
    LEVEL,
    implausible,
    levelled,
    load_voice,
    loudness,
    pace_of,
    trimmed,
)


def tone(seconds: float, height: float = 0.3) -> NDArray[np.float32]:
    return (height * np.sin(np.arange(int(seconds * SAMPLE_RATE)) * 0.2)).astype(np.float32)


def silence(seconds: float) -> NDArray[np.float32]:
    return np.zeros(int(seconds * SAMPLE_RATE), np.float32)


def test_silence_around_speech_goes_but_a_little() -> None:
    clip = trimmed(np.concatenate([silence(0.4), tone(1), silence(0.2), tone(1), silence(0.8)]))
    assert len(clip) / SAMPLE_RATE == pytest.approx(0.05 + 2.2 + 0.1, abs=0.011)
    assert not len(trimmed(silence(1)))


def test_speech_has_one_level_whatever_it_was_and_never_clips() -> None:
    for height in (0.01, 0.3, 0.9):
        clip = levelled(np.concatenate([tone(1, height), silence(1)]))
        assert loudness(clip)[:100].mean() == pytest.approx(LEVEL, rel=0.01)
    click = tone(1, 0.01)
    click[100] = 0.9
    assert np.abs(levelled(click)).max() <= 0.951


def test_pace_is_of_the_utterance_alone() -> None:
    paces = [pace_of(1, f"heart/0000/{i:03d}") for i in range(200)]
    assert paces[7] == pace_of(1, "heart/0000/007") != pace_of(2, "heart/0000/007")
    assert 0.9 <= min(paces) < 0.93
    assert 1.07 < max(paces) <= 1.1


@pytest.mark.parametrize(("factor", "pitch"), [("0.8", 160), ("1", 200), ("1.25", 250)])
def test_another_throat_keeps_the_pace(
    factor: str, pitch: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A voice of 200 Hz that says everything in two seconds, at a pace of 1."""

    def hum(text: str, speed: float, seed: int) -> NDArray[np.float32]:
        return np.sin(np.arange(int(2 * SAMPLE_RATE / speed)) * 400 * np.pi / SAMPLE_RATE)

    hibari, phones = SimpleNamespace(Hibari=lambda threads: hum), SimpleNamespace(G2P=None)
    monkeypatch.setitem(sys.modules, "hibari", hibari)
    monkeypatch.setitem(sys.modules, "hibari.g2p", phones)
    clip = load_voice(f"heart@{factor}", Path("nowhere"))("Hm.", 1.25)
    assert clip.dtype == np.float32
    assert len(clip) / SAMPLE_RATE == pytest.approx(2 / 1.25, rel=0.001)
    spectrum = np.abs(np.fft.rfft(clip))
    assert spectrum.argmax() * SAMPLE_RATE / len(clip) == pytest.approx(pitch, rel=0.01)


def test_durations_that_cannot_be() -> None:
    assert not implausible(2.1, "They called for artillery support.")
    assert "is too" not in implausible(0.1, "Yes.")
    for seconds, text in ((0.1, "Yes."), (15, "Yes, of course."), (0.5, "A very long sentence.")):
        assert "lasts" in implausible(seconds, text)


def test_what_is_misheard_is_found_among_many() -> None:
    texts = ["one two three four five", "alpha beta", "six seven eight nine ten"] * 9
    clips = [tone(2, 0.1 + i / 100) for i in range(len(texts))]
    calls: list[float] = []

    def hear(samples: NDArray[np.float32], rate: int, language: str) -> str:
        calls.append(len(samples) / rate)
        heights = [round(float(np.abs(c).max()), 3) for c in clips]
        if len(samples) == len(clips[0]):  # one alone
            i = heights.index(round(float(np.abs(samples).max()), 3))
            return "gamma delta" if i == 4 else texts[i]
        step = len(clips[0]) + int(0.7 * rate)
        found = [samples[at : at + len(clips[0])] for at in range(0, len(samples), step)]
        said = []
        for clip in found:
            i = heights.index(round(float(np.abs(clip).max()), 3))
            said.append("gamma delta" if i == 4 else "one too three" if i == 6 else texts[i])
        return " ".join(said)

    results = misheard(hear, clips, texts, SAMPLE_RATE)
    assert [i for i, (_, _, heard) in enumerate(results) if heard] == [4]
    assert results[4] == (2, 2, "gamma delta")
    assert results[6] == (0, 5, "")  # alone it is understood
    assert max(calls) <= 30
    assert len(calls) < len(texts) / 2
