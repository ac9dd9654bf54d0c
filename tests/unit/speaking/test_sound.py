"""Pieces of speech: what is cut off, how loud they are, how fast, and what is between them."""

from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import webrtcvad
from numpy.typing import NDArray

from revoice.speaking.sound import levelled, loudness_of, stretched, trimmed

RATE = 24000
Samples = NDArray[np.float32]


def recordings(spoken: Path) -> list[tuple[str, Samples, int]]:
    """Whole sentences, and digits that begin and end with weak consonants."""
    paths = sorted(spoken.glob("L*/**/*.wav"))
    paths += sorted(spoken.glob("digits/6_*.wav")) + sorted(spoken.glob("digits/*_3.wav"))
    assert len(paths) > 60
    return [(path.stem, *soundfile.read(path, dtype="float32")) for path in paths]


def in_silence(samples: Samples, rate: int) -> Samples:
    """With half a second of faint noise on both sides."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1e-4 * np.abs(samples).max(), len(samples) + rate).astype(np.float32)
    noise[rate // 2 : rate // 2 + len(samples)] += samples
    return noise


def place(part: Samples, whole: Samples) -> int:
    """Where a part, but its faded ends, stands in the whole."""
    middle = len(part) // 2
    some = part[middle : middle + 64]
    starts = np.flatnonzero(whole[: len(whole) - 64] == some[0])
    (found,) = [int(start) for start in starts if np.array_equal(whole[start : start + 64], some)]
    return found - middle


def voiced(samples: Samples, rate: int) -> tuple[float, float]:
    """Where the strictest voice detection of WebRTC hears speech begin and end, in seconds."""
    at_8k = librosa.resample(samples, orig_sr=rate, target_sr=8000)
    whole = (at_8k / np.abs(at_8k).max() * 16000).astype("<i2")
    detector = webrtcvad.Vad(3)
    frames = [whole[i : i + 80].tobytes() for i in range(0, len(whole) - 79, 80)]
    heard = np.flatnonzero([detector.is_speech(frame, 8000) for frame in frames])
    return heard[0] / 100, (heard[-1] + 1) / 100


def test_no_speech_is_cut_off(spoken: Path) -> None:
    for name, samples, rate in recordings(spoken):
        whole = in_silence(samples, rate)
        part = trimmed(whole, rate)
        begin = place(part, whole)
        first, last = voiced(whole, rate)
        assert begin / rate <= first, name
        assert (begin + len(part)) / rate >= last - 0.06, name  # it hears speech a little longer
        assert begin >= rate // 2 - 0.08 * rate, name
        assert begin + len(part) <= rate // 2 + len(samples) + 0.08 * rate, name


def test_weak_consonants_stay() -> None:
    """A vowel with a hiss before it, and a murmur after it, each 36 dB softer."""
    rng = np.random.default_rng(0)
    time = np.arange(RATE // 5) / RATE
    hiss = np.diff(rng.normal(0, 1, RATE // 5 + 1)) / np.sqrt(2)
    murmur = np.sin(2 * np.pi * 120 * time) * np.sqrt(2)
    vowel = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 8))
    vowel /= np.sqrt(np.mean(np.square(vowel)))
    word = np.concatenate([hiss * 0.016, vowel, murmur * 0.016]).astype(np.float32) * 0.2
    gap = np.zeros(RATE // 2, np.float32)
    part = trimmed(np.concatenate([gap, word, gap]), RATE)
    assert len(word) + 0.1 * RATE <= len(part) <= len(word) + 0.13 * RATE


def test_so_much_silence_is_kept_and_ends_are_faded() -> None:
    tone = 0.5 * np.sin(np.arange(RATE) / 5).astype(np.float32)
    gap = np.zeros(RATE, np.float32)
    whole = np.concatenate([gap, tone, gap])
    for keep in (0.0, 0.05, 0.3):
        assert len(trimmed(whole, RATE, keep)) / RATE == pytest.approx(1 + 2 * keep, abs=0.045)
    part = trimmed(tone, RATE)
    assert len(part) == len(tone)
    assert part[0] == part[-1] == 0
    fade = RATE // 200
    assert np.array_equal(part[fade:-fade], tone[fade:-fade])
    assert np.all(np.abs(part) <= np.abs(tone))
    assert np.abs(tone[:fade]).max() == pytest.approx(0.5, abs=0.01)
    assert np.abs(part[: fade // 4]).max() < 0.13


def test_silence_becomes_empty_and_little_stays_little() -> None:
    for silence in (np.zeros(0), np.zeros(1), np.zeros(RATE), np.full(RATE, 5e-5)):
        assert len(trimmed(silence.astype(np.float32), RATE)) == 0
    for count in (1, 2, 10, 100, 1000):
        few = np.full(count, 0.5, np.float32)
        assert len(trimmed(few, RATE)) == count


def test_pieces_are_equally_loud(spoken: Path) -> None:
    gains = (0.1, 0.5, 1.0)
    for name, samples, rate in recordings(spoken):
        for gain in gains:
            level = levelled(trimmed(gain * samples, rate), rate)
            assert level.dtype == np.float32
            assert np.abs(level).max() <= 10 ** (-1 / 20) + 1e-6, name
            if np.abs(level).max() < 0.75:  # where it could be as loud as it should
                assert loudness_of(level, rate) == pytest.approx(-23, abs=0.5), name
    level = levelled(samples, rate, -30)
    assert loudness_of(level, rate) == pytest.approx(-30, abs=0.1)


def test_loudness_is_that_of_the_standard() -> None:
    """EBU Tech 3341: a sine of 1 kHz at -23 dB of full scale in both channels has -23 LUFS."""
    time = np.arange(5 * RATE) / RATE
    sine = 10 ** (-20 / 20) * np.sin(2 * np.pi * 997 * time).astype(np.float32)
    assert loudness_of(sine, RATE) == pytest.approx(-23.01, abs=0.1)
    assert loudness_of(sine[: RATE // 10], RATE) == pytest.approx(-23.01, abs=0.2)  # no gates
    pause = np.zeros(5 * RATE, np.float32)
    assert loudness_of(np.concatenate([sine, pause]), RATE) == pytest.approx(-23.01, abs=0.3)


def test_nothing_is_clipped_between_samples_either() -> None:
    """A sine of a quarter of the rate, whose samples lie 3 dB below its peaks."""
    sine = np.sin(np.pi / 2 * np.arange(RATE) + np.pi / 4).astype(np.float32)
    loud = levelled(0.1 * sine, RATE, loudness=0.0)
    between = librosa.resample(loud, orig_sr=RATE, target_sr=8 * RATE)[RATE : 7 * RATE]
    assert np.abs(between).max() == pytest.approx(10 ** (-1 / 20), abs=0.01)
    assert np.abs(loud).max() < 0.65


def test_silence_is_no_louder() -> None:
    for silence in (np.zeros(0), np.zeros(1), np.zeros(100), np.zeros(RATE), np.full(RATE, 1e-6)):
        silence = silence.astype(np.float32)
        assert np.array_equal(levelled(silence, RATE), silence)
    assert loudness_of(levelled(np.full(3, 0.1, np.float32), RATE), RATE) < 0


@pytest.mark.parametrize("speed", [0.5, 0.7, 0.85, 1.15, 1.5, 2.0])
def test_speech_is_faster_and_no_higher(spoken: Path, speed: float) -> None:
    samples, _ = soundfile.read(spoken / "LJSpeech-1.1/wavs/LJ049-0124.wav", dtype="float32")
    fast = stretched(samples, RATE, speed)
    assert fast.dtype == np.float32
    assert len(fast) == pytest.approx(len(samples) / speed, abs=0.06 * RATE)
    assert np.square(fast).mean() == pytest.approx(np.square(samples).mean(), rel=0.15)
    for one, other in ((samples, fast), (samples[::-1], fast[::-1])):  # nothing is lost at the ends
        assert np.allclose(one[:100], other[:100], atol=0.01)
    # the spectrum of a tone has its peak where it was
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(stretched(tone, RATE, speed)[: RATE // 2]))
    assert np.argmax(spectrum) * 2 == pytest.approx(440, abs=4)


def test_the_envelope_of_fast_speech_is_that_of_the_speech(spoken: Path) -> None:
    samples, _ = soundfile.read(spoken / "LJSpeech-1.1/wavs/LJ049-0108.wav", dtype="float32")

    def envelope(sound: Samples, step: int) -> Samples:
        frames = sound[: len(sound) // step * step].reshape(-1, step)
        return np.sqrt(np.square(frames).mean(axis=1))

    fast = envelope(stretched(samples, RATE, 1.25), RATE // 25)
    slow = envelope(samples, RATE // 20)
    count = min(len(fast), len(slow))
    assert np.corrcoef(fast[:count], slow[:count])[0, 1] > 0.9


def test_the_pace_stays_where_there_is_nothing_to_change() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, RATE).astype(np.float32)
    assert np.array_equal(stretched(noise, RATE, 1), noise)
    for count in (0, 1, 10, 1000, RATE // 10 - 1):
        assert np.array_equal(stretched(noise[:count], RATE, 2), noise[:count])
    for rate in (8000, 16000, 24000, 48000):
        for speed in (0.5, 2):
            least = stretched(noise[: rate // 10], rate, speed)
            assert len(least) / rate == pytest.approx(0.1 / speed, abs=0.06)
    for speed in (0.4, 2.1, 0, -1, np.nan):
        with pytest.raises(ValueError, match=r"is not within 0\.5 and 2"):
            stretched(noise, RATE, speed)


CHANGES: list[Callable[[Samples], Samples]] = [
    lambda samples: trimmed(samples, RATE),
    lambda samples: levelled(samples, RATE),
    lambda samples: stretched(samples, RATE, 1.5),
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_no_sound_is_refused(change: Callable[[Samples], Samples]) -> None:
    with pytest.raises(ValueError, match="not finite"):
        change(np.array([0, np.nan, 1], np.float32))
    with pytest.raises(ValueError, match=r"expected mono \(N,\)"):
        change(np.zeros((2, 100), np.float32))
