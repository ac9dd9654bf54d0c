"""How good segments sound: what is done to clear speech is what is measured."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
from lhotse import CutSet, Recording
from lhotse.cut import MonoCut
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from revoice.evaluation.measures import dnsmos
from revoice.recordings import assess as module
from revoice.recordings.assess import assess, assess_cuts, embedding

RATE = 24000
LEVELS = (5, 10, 15, 20, 30)  # decibels of speech above noise
Samples = NDArray[np.float32]


@pytest.fixture(scope="module")
def sentences(spoken: Path) -> list[Samples]:
    """Two, read aloud by one voice, their peaks at half of full scale."""
    read = [load(path) for path in sorted((spoken / "LJSpeech-1.1/wavs").glob("*.wav"))]
    return [samples / (2 * np.abs(samples).max()) for samples in read]


@pytest.fixture(scope="module")
def clear(sentences: list[Samples]) -> Samples:
    """The shorter one."""
    return min(sentences, key=len)


@pytest.fixture(scope="module")
def man(spoken: Path) -> Samples:
    """Another voice."""
    return np.concatenate([load(spoken / f"digits/{i}_jackson_1.wav") for i in range(6)])


@pytest.fixture
def only_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the measure that takes long, for tests that look at others."""
    monkeypatch.setattr(module, "_opinion", lambda samples: 3.0)


def load(path: Path) -> Samples:
    return librosa.load(path, sr=RATE)[0]


def through(samples: Samples, rate: int) -> Samples:
    """As a recording at a lower rate has it."""
    low = librosa.resample(samples, orig_sr=RATE, target_sr=rate)
    return librosa.resample(low, orig_sr=rate, target_sr=RATE)[: len(samples)]


def noise(kind: str, length: int, seed: int = 1) -> Samples:
    """Of power 1; pink: from 20 Hz on, 3 dB less with each octave."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=length))
    if kind == "pink":
        frequencies = np.fft.rfftfreq(length, 1 / RATE)
        spectrum[frequencies < 20] = 0
        spectrum /= np.sqrt(frequencies.clip(min=20))
    sound = np.fft.irfft(spectrum, length)
    return (sound / sound.std()).astype(np.float32)


def powers(samples: Samples) -> NDArray[np.floating]:
    """Of every 20 ms."""
    return np.square(samples[: len(samples) // 480 * 480].reshape(-1, 480)).mean(axis=1)


def at(decibels: float, samples: Samples, sound: Samples) -> Samples:
    """The sound, so far below the speech: its mean power where it is no softer than 20 dB."""
    every = powers(samples)
    active = every[every > np.quantile(every, 0.95) / 100]
    return sound * np.float32(np.sqrt(active.mean()) * 10 ** (-decibels / 20))


@pytest.mark.usefixtures("only_signal")
@pytest.mark.parametrize("kind", ["white", "pink"])
def test_noise_is_measured(kind: str, sentences: list[Samples]) -> None:
    for speech in sentences:
        sound = noise(kind, len(speech))
        found = [assess(speech + at(level, speech, sound)).snr for level in LEVELS]
        assert found == [pytest.approx(level, abs=3) for level in LEVELS]
        assert found == sorted(found)


@pytest.mark.usefixtures("only_signal")
def test_noise_is_heard_around_a_segment_whatever_is_said_there(clear: Samples) -> None:
    sound = at(20, clear, noise("white", 2 * len(clear)))
    both = np.concatenate([clear, clear]) + sound
    middle = slice(RATE, RATE + 2 * len(clear) // 3)
    around = both[middle.start - RATE // 2 : middle.stop + RATE // 2]
    assert assess(both[middle], around).snr == pytest.approx(20, abs=3)
    steady = sliding_window_view(powers(clear), 6).min(axis=1).argmax() * 480
    vowel = both[steady : steady + 6 * 480]
    pause = sound[: RATE // 2]
    alone, beside = assess(vowel), assess(vowel, np.concatenate([pause, vowel, pause]))
    assert alone.snr < 10, "there is no pause in it"
    assert beside.snr > 17


@pytest.mark.usefixtures("only_signal")
def test_digital_silence_is_no_noise(clear: Samples) -> None:
    noisy = clear + at(15, clear, noise("white", len(clear)))
    gaps = noisy.copy()
    gaps[RATE : RATE + RATE // 4] = 0
    assert assess(gaps).snr == pytest.approx(assess(noisy).snr, abs=1)
    assert assess(np.zeros(RATE, np.float32)).snr == 0
    assert assess(clear + 0.3).snr == pytest.approx(assess(clear).snr, abs=0.1), "offset"


@pytest.mark.usefixtures("only_signal")
def test_clipped_samples_are_counted(sentences: list[Samples]) -> None:
    for speech in sentences:
        assert assess(speech).clipping < 0.0005
        assert assess(speech * np.float32(0.03)).clipping < 0.0005, "quiet speech"
        limit = np.abs(speech).max() / 2  # 6 dB
        share = np.mean(np.abs(speech) >= limit)
        clipped = speech.clip(-limit, limit)
        assert assess(clipped).clipping == pytest.approx(share, rel=0.3)
        assert assess(clipped * np.float32(0.3)).clipping == assess(clipped).clipping, (
            "made quieter since"
        )


@pytest.mark.usefixtures("only_signal")
def test_what_was_clipped_is_found_when_it_was_resampled(clear: Samples) -> None:
    original = librosa.resample(clear, orig_sr=RATE, target_sr=44100)
    limit = np.abs(original).max() / 2
    clipped = librosa.resample(original.clip(-limit, limit), orig_sr=44100, target_sr=RATE)
    share = np.mean(np.abs(original) >= limit)
    assert assess(clipped).clipping == pytest.approx(share, rel=0.5)


@pytest.mark.usefixtures("only_signal")
def test_bandwidth_is_where_speech_ends(clear: Samples) -> None:
    assert assess(clear).bandwidth > 9000
    for rate in (8000, 11025, 16000):
        low = through(clear, rate)
        assert assess(low).bandwidth == pytest.approx(rate / 2, abs=500)
        hiss = at(30, clear, noise("white", len(low)))
        assert assess(low + hiss).bandwidth <= rate / 2 + 250, "noise above it is no speech"
    assert assess(np.zeros(RATE, np.float32)).bandwidth == 0
    assert assess(noise("white", RATE) * np.float32(0.1)).bandwidth == 0


def test_what_sounds_worse_gets_a_lower_opinion(clear: Samples) -> None:
    good = assess(clear)
    noisy = assess(clear + at(10, clear, noise("white", len(clear))))
    assert 1 <= noisy.dnsmos < good.dnsmos - 0.3 < 5
    assert all(isinstance(value, float) for value in good)


@pytest.mark.parametrize("seconds", [4.6, 10.0])
def test_the_opinion_is_about_that_of_dnsmos(seconds: float, clear: Samples) -> None:
    """Which hears more windows of what is long, and repeats more of what is short."""
    samples = np.resize(clear, round(seconds * RATE))
    heard = librosa.resample(samples, orig_sr=RATE, target_sr=16000)
    assert assess(samples).dnsmos == pytest.approx(dnsmos(heard), abs=0.25)


def test_voices_have_embeddings(clear: Samples, man: Samples) -> None:
    half = len(clear) // 2
    one, same, other = embedding(clear[:half]), embedding(clear[half:]), embedding(man)
    assert one.shape == (256,)
    assert one.dtype == np.float32
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    assert one @ same > one @ other + 0.1
    for silence in (np.zeros(RATE, np.float32), noise("white", RATE) * 1e-4, clear[:100]):
        assert not embedding(silence).any()


def test_too_little_is_refused(clear: Samples) -> None:
    with pytest.raises(ValueError, match="900 samples"):
        assess(clear[:900])


@pytest.fixture
def cuts(tmp_path: Path, clear: Samples, man: Samples) -> list[MonoCut]:
    """Segments of two recordings, not in the order of their times."""
    found = []
    for name, speech in (("a", clear), ("b", man)):
        path = tmp_path / f"{name}.wav"
        quiet = at(30, speech, noise("white", 2 * len(speech), seed=ord(name)))
        soundfile.write(path, np.concatenate([speech, speech]) + quiet, RATE, subtype="PCM_16")
        recording = Recording.from_file(path)
        for begin, length in ((1.51, 1.2), (0.0, 1.03), (recording.duration - 1, 1.0)):
            found.append(MonoCut(f"{name}-{begin:g}", begin, length, 0, recording=recording))
    return found


def test_segments_are_measured_in_their_order_by_any_number_of_processes(
    cuts: list[MonoCut], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    cuts, threads = cuts[::2], torch.get_num_threads()
    table, embeddings = assess_cuts(CutSet.from_cuts(cuts), 1)
    assert torch.get_num_threads() == threads
    assert list(table.columns) == ["id", "dnsmos", "snr", "clipping", "bandwidth"]
    assert list(table["id"]) == [cut.id for cut in cuts]
    assert embeddings.shape == (len(cuts), 256)
    assert embeddings.dtype == np.float16
    first = cuts[0].load_audio()[0]
    row, alone = table.iloc[0], assess(first)
    assert row["dnsmos"] == pytest.approx(alone.dnsmos, abs=0.01)
    assert row["dnsmos"] == round(row["dnsmos"], 3)
    assert table["bandwidth"].dtype.kind == "i"
    assert embeddings[0] @ embedding(first) == pytest.approx(1, abs=0.01)

    again, the_same = assess_cuts(iter(cuts), 2)
    assert again.equals(table)
    assert np.array_equal(embeddings, the_same)


@pytest.mark.usefixtures("only_signal")
def test_of_a_recording_only_segments_and_what_is_around_them_are_read(
    cuts: list[MonoCut], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[float] = []
    load_mono = module.load_mono

    def counting(cut: MonoCut, rate: int) -> Samples:
        samples = load_mono(cut, rate)
        read.append(len(samples) / RATE)
        return samples

    monkeypatch.setattr(module, "load_mono", counting)
    table, _ = assess_cuts(cuts, 1)
    assert read == [pytest.approx(seconds) for seconds in (2.2, 1.53, 1.5) * 2]
    for cut, snr in zip(cuts, table["snr"], strict=True):
        assert snr == round(assess(cut.load_audio()[0], module._read(cut)[1]).snr, 3)


def test_no_segments_give_an_empty_table() -> None:
    table, embeddings = assess_cuts([], 1)
    assert list(table.columns) == ["id", "dnsmos", "snr", "clipping", "bandwidth"]
    assert len(table) == 0
    assert embeddings.shape == (0, 256)


def test_a_recording_that_cannot_be_read_is_named(cuts: list[MonoCut]) -> None:
    Path(cuts[0].recording.sources[0].source).write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.wav"):
        assess_cuts(cuts, 1)
