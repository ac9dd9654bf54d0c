"""Speech as files, as bytes and as streams: what is read back, and when it comes."""

import io
import re
import subprocess
import threading
import tracemalloc
import wave
from collections.abc import Iterator
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from revoice.speaking.writing import FORMATS, SERVED, _write, encoded, streamed, write_speech

RATE = 24000
NOTE = "Synthetic speech made with revoice, from data of 2 people – é"
# Decibels of the signal over its difference from what is read back; seconds that an encoder adds.
QUALITY = {"wav": 90, "flac": 90, "mp3": 12, "ogg": 12, "opus": 6, "aac": 12, "pcm": 90}
ADDED = {"mp3": 0.11, "aac": 0.09}


@pytest.fixture(scope="module")
def speech(spoken: Path) -> NDArray[np.float32]:
    samples, rate = soundfile.read(spoken / "LJSpeech-1.1/wavs/LJ049-0124.wav", dtype="float32")
    assert rate == RATE
    return samples


def decoded(data: bytes, format: str) -> NDArray[np.float32]:
    """As FFmpeg's decoders read it, at 24 kHz."""
    if format == "pcm":
        return np.frombuffer(data, "<i2").astype(np.float32) / 32768
    to_float = av.AudioResampler("flt", "mono", RATE)
    with av.open(io.BytesIO(data)) as file:
        frames = [part for frame in file.decode(audio=0) for part in to_float.resample(frame)]
    frames += to_float.resample(None)
    return np.concatenate([frame.to_ndarray().ravel() for frame in frames])


def fidelity(samples: NDArray[np.float32], heard: NDArray[np.float32]) -> float:
    """Signal over error in decibels, at the best of the delays that an encoder may add."""
    padded = np.pad(heard, (0, RATE // 5))
    middle = np.arange(RATE, RATE + RATE // 4)  # where the delay is found
    errors = [np.square(padded[middle + d] - samples[middle]).sum() for d in range(RATE // 8)]
    delay = int(np.argmin(errors))
    rest = min(len(samples), len(padded) - delay)
    error = np.square(padded[delay : delay + rest] - samples[:rest]).sum()
    return 10 * np.log10(np.square(samples).sum() / max(error, 1e-12))


def told(path: Path) -> str:
    """The comment that ffmpeg prints of a file."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path)]
    printed = subprocess.run(command, capture_output=True).stderr.decode("utf-8")
    found = re.search(r"(?im)^ +comment +: (.*?) *$", printed)
    return found[1] if found else ""


@pytest.mark.parametrize("format", SERVED)
def test_a_file_reads_back(format: str, speech: NDArray[np.float32], tmp_path: Path) -> None:
    path = tmp_path / f"speech.{format.upper()}"
    write_speech(path, speech, RATE, NOTE)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    heard = decoded(path.read_bytes(), format)
    added = len(heard) - len(speech)
    assert 0 <= added <= ADDED.get(format, 0) * RATE
    assert fidelity(speech, heard) > QUALITY[format]
    if format == "mp3":  # Latin letters alone
        assert told(path) == "Synthetic speech made with revoice, from data of 2 people - e"
    elif format != "pcm":
        assert told(path) == NOTE
    if format in FORMATS:  # as many tools read it, without what the encoder adds
        with soundfile.SoundFile(path) as file:
            assert (file.frames, file.samplerate, file.channels) == (len(speech), RATE, 1)
            assert file.comment.startswith("Synthetic speech made with revoice")


def test_wav_and_flac_are_whole_numbers_of_16_bits(speech: NDArray[np.float32]) -> None:
    for format in ("wav", "flac", "pcm"):
        assert np.array_equal(decoded(encoded(speech, RATE, format, NOTE), format), speech)
    with wave.open(io.BytesIO(encoded(speech, RATE, "wav", NOTE))) as file:
        assert (file.getsampwidth(), file.getnframes()) == (2, len(speech))


def test_a_short_note_is_in_an_mp3(tmp_path: Path) -> None:
    write_speech(tmp_path / "a.mp3", np.zeros(RATE, np.float32), RATE, "Synthetic")
    assert told(tmp_path / "a.mp3") == "Synthetic"


@pytest.mark.parametrize("format", SERVED)
@pytest.mark.parametrize("count", [0, 1, 100])
def test_hardly_any_samples_are_a_file(format: str, count: int) -> None:
    samples = np.full(count, 0.1, np.float32)
    for data in (
        encoded(samples, RATE, format, NOTE),
        b"".join(streamed([samples], RATE, format, NOTE)),
    ):
        if format in FORMATS:
            assert len(decoded(data, format)) >= max(count, 1)
    if format in FORMATS:
        assert soundfile.info(io.BytesIO(encoded(samples, RATE, format, NOTE))).frames == max(
            count, 1
        )
    assert b"".join(streamed([], RATE, format, NOTE))


def test_what_is_too_loud_is_clipped() -> None:
    loud = np.array([2, -2, 1, -1, 0.5], np.float32)
    heard = np.frombuffer(encoded(loud, RATE, "pcm", NOTE), "<i2")
    assert heard.tolist() == [32767, -32768, 32767, -32768, 16384]


@pytest.mark.parametrize("format", SERVED)
def test_a_stream_gives_a_piece_before_it_asks_for_the_next(
    format: str, speech: NDArray[np.float32]
) -> None:
    asked = 0

    def pieces() -> Iterator[NDArray[np.float32]]:
        nonlocal asked
        for begin in range(0, len(speech), RATE):
            asked += 1
            yield speech[begin : begin + RATE]

    stream = streamed(pieces(), RATE, format, NOTE)
    assert asked == 0
    data = b""
    for second in (1, 2, 3):
        data += next(stream)
        assert asked == second
        # encoders keep back a little of the second that was given last
        assert (second - 0.65) * RATE < len(decoded(data, format)) <= (second + 0.1) * RATE
    data += b"".join(stream)
    heard = decoded(data, format)
    assert 0 <= len(heard) - len(speech) <= 0.11 * RATE
    assert fidelity(speech, heard) > QUALITY[format]
    if format in ("mp3", "ogg"):  # libsndfile finds all of it too
        assert len(soundfile.read(io.BytesIO(data))[0]) >= len(speech)


def test_a_stream_of_wav_says_the_greatest_length() -> None:
    pieces = [np.full(RATE, 0.25, np.float32)] * 2
    data = b"".join(streamed(pieces, RATE, "wav", NOTE))
    assert data[4:8] == b"\xff" * 4
    head = data[: len(data) - 2 * 2 * RATE]
    assert head[-8:] == b"data" + b"\xff" * 4
    assert NOTE.encode() in head
    assert set(data[len(head) :: 2]) == {0}
    assert set(data[len(head) + 1 :: 2]) == {0x20}


@pytest.mark.parametrize("format", SERVED)
def test_a_stream_that_is_closed_early_leaves_nothing(
    format: str, speech: NDArray[np.float32]
) -> None:
    ended = []

    def pieces() -> Iterator[NDArray[np.float32]]:
        try:
            while True:
                yield speech
        finally:
            ended.append(True)

    threads = threading.active_count()
    files = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    source = pieces()
    stream = streamed(source, RATE, format, NOTE)
    assert next(stream)
    stream.close()
    assert list(stream) == []
    source.close()
    assert ended == [True]
    assert threading.active_count() == threads
    if files:
        assert len(list(Path("/proc/self/fd").iterdir())) == files


def test_what_fails_in_the_middle_leaves_no_file(
    speech: NDArray[np.float32], tmp_path: Path
) -> None:
    def pieces() -> Iterator[NDArray[np.float32]]:
        yield speech
        raise RuntimeError("the model is gone")

    (tmp_path / "a.ogg").write_bytes(b"earlier")
    with pytest.raises(RuntimeError, match="the model is gone"):
        write_speech(tmp_path / "a.ogg", pieces(), RATE, NOTE)
    assert [p.name for p in tmp_path.iterdir()] == ["a.ogg"]
    assert (tmp_path / "a.ogg").read_bytes() == b"earlier"
    with pytest.raises(RuntimeError, match="the model is gone"):
        list(streamed(pieces(), RATE, "aac", NOTE))


@pytest.mark.parametrize(("format", "minutes"), [("wav", 10), ("mp3", 1), ("ogg", 1), ("opus", 1)])
def test_memory_stays_flat_however_long_it_gets(format: str, minutes: int, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    path = tmp_path / f"book.{format}"
    write_speech(path, [noise], RATE, NOTE)  # what libraries keep is there now
    tracemalloc.start()
    try:
        write_speech(path, (np.roll(noise, i) for i in range(60 * minutes)), RATE, NOTE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(decoded(path.read_bytes(), format)) >= 60 * minutes * RATE
    assert peak < 1e6  # some seconds: 16 bits of a minute take three times as much


def test_long_blocks_of_vorbis_are_written(tmp_path: Path) -> None:
    path = tmp_path / "long.ogg"
    write_speech(path, np.zeros(300 * RATE, np.float32), RATE, NOTE)
    assert soundfile.info(path).frames == 300 * RATE


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    silence = np.zeros(RATE, np.float32)
    known = "known are wav, flac, mp3, ogg, opus, aac, pcm"
    with pytest.raises(ValueError, match=rf"speech\.wma: the format 'wma' is unknown; {known}"):
        write_speech(tmp_path / "speech.wma", silence, RATE, NOTE)
    with pytest.raises(ValueError, match=f"the format '' is unknown; {known}"):
        write_speech(tmp_path / "speech", silence, RATE, NOTE)
    with pytest.raises(ValueError, match=known):
        encoded(silence, RATE, "m4a", NOTE)
    with pytest.raises(ValueError, match=known):
        streamed([], RATE, "m4a", NOTE)  # at once, not when it is read
    with pytest.raises(ValueError, match="opus cannot have 22050 samples a second, but 8000"):
        encoded(silence, 22050, "opus", NOTE)
    for format in SERVED:
        with pytest.raises(ValueError, match="not finite"):
            encoded(np.array([0, np.nan], np.float32), RATE, format, NOTE)
        with pytest.raises(ValueError, match=r"expected mono \(N,\)"):
            encoded(np.zeros((2, 9), np.float32), RATE, format, NOTE)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    for format in SERVED:
        with pytest.raises(OSError, match="No space"), open("/dev/full", "wb") as file:
            _write(file, np.zeros(20 * RATE, np.float32), RATE, format, NOTE)
