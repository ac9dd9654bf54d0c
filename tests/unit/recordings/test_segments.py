"""Segments of speech in recordings of any length."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from revoice.corpus.audio import SAMPLE_RATE
from revoice.recordings import segments as module
from revoice.recordings.segments import (
    FRAME,
    RATE,
    Pauses,
    find_segments,
    levels_of,
    phrases,
    segments,
    speech,
)

Samples = NDArray[np.float32]
LOUD, SOFT = -20.0, -60.0  # dB
NONE = np.zeros(0, np.float32)
SECOND = np.arange(SAMPLE_RATE) / SAMPLE_RATE


def likely(*parts: tuple[float, float]) -> Samples:
    """Probabilities: so many seconds of each."""
    return np.concatenate([np.full(round(t * RATE / FRAME), p, np.float32) for t, p in parts])


def loud(*parts: tuple[float, float]) -> Samples:
    """Levels: so many seconds of each."""
    return np.concatenate([np.full(round(100 * t), level, np.float32) for t, level in parts])


def heard(*parts: tuple[float, float]) -> tuple[Samples, Samples]:
    """Probabilities as above; loud where speech is likely, and soft elsewhere."""
    return likely(*parts), loud(*((t, LOUD if p >= 0.5 else SOFT) for t, p in parts))


def write(path: Path, samples: NDArray[np.floating]) -> Path:
    soundfile.write(path, samples, SAMPLE_RATE, subtype="PCM_16")
    return path


def hearing(lengths: list[int]) -> object:
    """A detector that says how loud each frame is, and notes how many it is given at a time."""

    class Detector:
        def run(self, _: None, given: dict[str, Samples]) -> tuple[Samples, Samples, Samples]:
            lengths.append(len(given["input"]))
            return np.abs(given["input"][:, 64:]).mean(1), given["h"], given["c"]

    return Detector()


def test_phrases_end_at_pauses() -> None:
    found = phrases(likely((1, 0), (2, 0.9), (0.1, 0), (1, 0.9), (0.5, 0), (1, 0.8)))
    assert found == [pytest.approx(one, abs=5) for one in ((100, 410), (460, 560))]
    assert phrases(likely((3, 0.4))) == []
    assert len(phrases(likely((1, 0.9), (1, 0.4), (1, 0.9)))) == 1, "no clear pause"


def test_what_might_be_speech_now_and_then_is_none() -> None:
    assert phrases(likely((1, 0), (0.1, 0.7), (1, 0.45), (0.1, 0.7), (1, 0))) == []


def test_near_phrases_are_joined_and_far_ones_are_not() -> None:
    given = heard((1, 0), (2, 0.9), (0.6, 0), (3, 0.9), (2, 0), (1.5, 0.9), (1, 0))
    assert segments(*given) == [pytest.approx(one, abs=0.1) for one in ((0.85, 6.75), (8.45, 10.2))]


def test_the_longest_pauses_stay_where_not_all_can_be_joined() -> None:
    given = heard((6, 0.9), (0.5, 0), (6, 0.9), (0.3, 0), (6, 0.9))
    (_, first), (second, _) = segments(*given)
    assert 6 <= first <= second <= 6.5
    given = heard((6, 0.9), (0.3, 0), (6, 0.9), (0.5, 0), (6, 0.9))
    (_, first), (second, _) = segments(*given)
    assert 12.3 <= first <= second <= 12.8


def test_a_word_alone_goes_with_the_nearest_phrase() -> None:
    one_word = (1, 0), (3, 0.9), (1.6, 0), (0.4, 0.9), (1.2, 0), (3, 0.9), (1, 0)
    assert segments(*heard(*one_word)) == [
        pytest.approx(one, abs=0.1) for one in ((0.85, 4.15), (5.45, 10.35))
    ]


def test_what_is_shorter_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert segments(*heard((3, 0), (0.4, 0.9), (3, 0))) == []
    assert "1 of 1 stretches are too short" in caplog.text
    assert segments(NONE, NONE) == []


def test_soft_ends_of_words_are_kept() -> None:
    """20 dB below the rest, 200 ms before and 300 ms after it: the detector hears neither."""
    probabilities = likely((2, 0), (2, 0.9), (2, 0))
    levels = loud((1.8, SOFT), (0.2, -40), (2, LOUD), (0.3, -40), (1.7, SOFT))
    around = Pauses().around
    assert segments(probabilities, levels) == [
        pytest.approx((1.8 - around, 4.3 + around), abs=0.04)
    ]


def test_a_word_has_ended_where_its_sound_has() -> None:
    """The detector goes on hearing speech for a moment."""
    levels = loud((2, SOFT), (1.93, LOUD), (2.07, SOFT))
    ((_, end),) = segments(likely((2, 0), (2, 0.9), (2, 0)), levels)
    assert end == pytest.approx(1.93 + 2 + Pauses().around, abs=0.02)


def test_a_noise_after_a_pause_is_no_end_of_a_word() -> None:
    levels = loud((2, SOFT), (2, LOUD), (0.3, SOFT), (0.1, -40), (1.6, SOFT))
    ((_, end),) = segments(likely((2, 0), (2, 0.9), (2, 0)), levels)
    assert end == pytest.approx(4.15, abs=0.04)


def test_a_long_phrase_is_parted_where_it_is_quietest() -> None:
    levels = loud((8, LOUD), (0.08, -70), (1, LOUD), (0.16, -60), (9, LOUD))
    (_, first), (second, _) = segments(likely((len(levels) / 100, 0.9)), levels)
    assert first == second
    assert 9.08 < first < 9.24, "the stop before a `t` is quieter, but shorter"


def test_over_music_a_long_phrase_is_parted_where_speech_is_not_likely() -> None:
    (_, first), (second, _) = segments(likely((9, 0.9), (0.16, 0.1), (9, 0.9)), loud((18.2, LOUD)))
    assert first == second == pytest.approx(9.08, abs=0.1)


def test_near_segments_are_cut_where_the_pause_is_quietest() -> None:
    probabilities = likely((10, 0.9), (0.26, 0), (10, 0.9))
    levels = loud((10, LOUD), (0.06, -50), (0.04, SOFT), (0.16, -57), (10, LOUD))
    (_, first), (second, _) = segments(probabilities, levels)
    assert first == second == pytest.approx(10.08, abs=0.03)


@pytest.mark.parametrize("seed", range(20))
def test_segments_are_in_order_and_of_the_lengths_asked_for(seed: int) -> None:
    random = np.random.default_rng(seed)
    parts = [
        (random.uniform(0.05, 8 if level else 2), random.uniform(0.7, 1) if level else 0.05)
        for level in random.integers(0, 2, 60)
    ]
    probabilities, levels = heard(*parts)
    levels += random.normal(size=len(levels)).astype(np.float32)
    pauses = Pauses()
    found = segments(probabilities, levels, pauses)
    assert found
    assert all(pauses.shortest <= end - begin <= pauses.longest + 1e-6 for begin, end in found)
    assert all(one[1] <= other[0] for one, other in pairwise(found))
    assert found[0][0] >= 0
    assert found[-1][1] <= len(levels) / 100
    inside = np.zeros(len(levels), bool)
    for begin, end in found:
        inside[round(100 * begin) : round(100 * end)] = True
    assert inside[levels > -40].mean() > 0.95


def test_parts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    monkeypatch.setattr(module, "_detector", lambda: hearing(lengths))
    samples = np.random.default_rng(1).normal(size=1234 * FRAME + 77).astype(np.float32)
    parts = [samples[i : i + 12345] for i in range(0, len(samples), 12345)]
    found = np.concatenate(list(speech(parts)))
    padded = np.pad(samples, (0, FRAME - 77))
    assert len(found) == 1235
    assert np.allclose(found, np.abs(padded.reshape(-1, FRAME)).mean(1), atol=1e-6)
    assert max(lengths) <= 25


@pytest.fixture
def talk(spoken: Path, tmp_path: Path) -> Path:
    """Four sentences that people read, with 2 s of silence before, between and after them."""
    paths = sorted((spoken / "LibriTTS").rglob("*.wav")) + sorted(
        (spoken / "LJSpeech-1.1").rglob("*.wav")
    )
    parts = [np.zeros(2 * SAMPLE_RATE)]
    for path in paths:
        samples, rate = soundfile.read(path)
        parts += [librosa.resample(samples, orig_sr=rate, target_sr=SAMPLE_RATE), parts[0]]
    return write(tmp_path / "talk.wav", np.concatenate(parts))


def test_sentences_of_a_file_are_found(talk: Path) -> None:
    found = find_segments(talk)
    begins = [begin for begin, _ in found]
    length = soundfile.info(talk).duration
    assert len(found) == 4
    assert begins[0] == pytest.approx(2, abs=0.3)
    assert all(1.5 < other[0] - one[1] < 3 for one, other in pairwise(found))
    assert found[-1][1] == pytest.approx(length - 2, abs=0.5)


def test_blocks_of_a_file_change_nothing(talk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def probabilities() -> Samples:
        return np.concatenate(list(speech(module._resampled(talk))))

    whole = levels_of(talk), probabilities(), find_segments(talk)
    monkeypatch.setattr(module, "BLOCK", 100 * module.STEP)
    assert np.array_equal(levels_of(talk), whole[0])
    assert np.allclose(probabilities(), whole[1], atol=1e-4)
    assert find_segments(talk) == whole[2]


def test_levels_are_those_of_the_samples(tmp_path: Path) -> None:
    tone = np.sin(2 * np.pi * 500 * SECOND)
    path = write(tmp_path / "tone.wav", np.concatenate([0.5 * tone, 0 * tone, 0.05 * tone[:100]]))
    levels = levels_of(path)
    assert levels.dtype == np.float32
    assert levels[:100] == pytest.approx(-9.03, abs=0.01)
    assert levels[100:200] == pytest.approx(-80)
    assert levels[200:] == pytest.approx(-32.8, abs=1), "filled up with silence"


def tune(pluck: float) -> NDArray[np.floating]:
    """Half a minute of chords, 4 a second, which fade fast or slowly."""
    random = np.random.default_rng(3)
    time = SECOND[: SAMPLE_RATE // 4]
    shape = np.exp(-pluck * time) * np.minimum(1, 50 * (0.25 - time))
    chords = 220 * 2 ** (random.integers(-12, 13, (120, 1)) / 12) * np.array([1, 1.26, 1.5])
    overtones = range(1, 7)
    return np.concatenate(
        [
            sum(shape * np.sin(2 * np.pi * f * h * time) / h for f in chord for h in overtones) / 20
            for chord in chords
        ]
    )


def noise(slope: float) -> NDArray[np.floating]:
    """Half a minute of noise, rather loud: white for a slope of 0, pink for 0.5, brown for 1."""
    length = 30 * SAMPLE_RATE
    shape = np.maximum(np.fft.rfftfreq(length, 1 / SAMPLE_RATE), 20) ** -slope
    white = np.fft.rfft(np.random.default_rng(2).normal(size=length))
    samples = np.fft.irfft(shape * white)
    return 0.1 * samples / samples.std()


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda: np.zeros(30 * SAMPLE_RATE), id="silence"),
        pytest.param(lambda: np.zeros(0), id="nothing"),
        pytest.param(lambda: tune(6), id="plucked"),
        pytest.param(lambda: tune(0), id="organ"),
        pytest.param(lambda: noise(0), id="white noise"),
        pytest.param(lambda: noise(0.5), id="pink noise"),
        pytest.param(lambda: noise(1), id="brown noise"),
    ],
)
def test_where_nobody_speaks_there_are_no_segments(
    made: Callable[[], NDArray[np.floating]], tmp_path: Path
) -> None:
    assert find_segments(write(tmp_path / "made.wav", made())) == []


def test_other_audio_than_24_khz_mono_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.zeros((100, 2)), SAMPLE_RATE)
    with pytest.raises(ValueError, match=r"stereo\.wav is not 24000 Hz mono"):
        find_segments(path)
    path.write_bytes(b"no audio")
    with pytest.raises(soundfile.LibsndfileError):
        find_segments(path)
