"""Speech as files, as bytes and as streams, each with a note in it that says what it is.

Encoders write into memory, block by block, and what they have written is passed on at once: hours
of speech take no more memory than a second of it, and a stream begins with its first piece.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from fractions import Fraction
from io import BytesIO
from os import SEEK_CUR, SEEK_SET
from pathlib import Path
from typing import BinaryIO, cast

import av
import numpy as np
from numpy.typing import NDArray
from soundfile import SoundFile
from text_unidecode import unidecode

from revoice.codec.search import check_samples
from revoice.files import atomic

# What libsndfile calls them, and how good they are: MP3 with a variable bit rate (LAME's V2, about
# 75 kbit/s for speech), Vorbis of quality 6 (about 80 kbit/s).
SOUNDFILE = {
    "wav": ("WAV", "PCM_16", None, None),
    "flac": ("FLAC", "PCM_16", None, None),
    "mp3": ("MP3", "MPEG_LAYER_III", 0.2, "VARIABLE"),
    "ogg": ("OGG", "VORBIS", 0.4, None),
}
# What FFmpeg calls the container and the encoder, bits a second, and options of the container.
FFMPEG = {
    "opus": ("ogg", "libopus", 48000, {"page_duration": "200000"}),  # microseconds
    "aac": ("adts", "aac", 96000, {"write_id3v2": "1"}),
}
FORMATS = tuple(SOUNDFILE)  # of files that last
# A stream's beginning cannot say how long it is, and readers go by its bit rate. One that changes
# leads libsndfile to leave out the end; this is always 80 kbit/s.
SOUNDFILE["mp3 stream"] = ("MP3", "MPEG_LAYER_III", 0.5, "CONSTANT")
SERVED = (*FORMATS, *FFMPEG, "pcm")  # what a server can send as well
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
BLOCK = 1 << 15  # samples; libsndfile crashes where Vorbis gets millions at once

Samples = NDArray[np.floating]  # (N,) mono, in [-1, 1]; what is beyond is clipped


def write_speech(
    path: str | Path, samples: Samples | Iterable[Samples], rate: int, note: str
) -> None:
    """Write speech to a file whose suffix says the format: .wav, .flac, .mp3, .ogg (or of SERVED).

    Args:
        samples: (N,) floats in [-1, 1], or such blocks one after another: then memory stays flat
            however long it gets.
        note: what the file says of itself: INFO's ICMT, COMMENT of Vorbis comments, ID3's COMM.

    WAV and FLAC have 16 bits. A file without samples gets one, of silence. The file is whole or
    absent. Raises ValueError for an unknown suffix, and for samples that are not (N,) and finite.
    """
    path = Path(path)
    try:
        format = checked_format(path.suffix[1:].lower(), rate)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    with atomic(path) as temporary, open(temporary, "wb") as file:
        _write(file, samples, rate, format, note)


def encoded(samples: Samples | Iterable[Samples], rate: int, format: str, note: str) -> bytes:
    """The whole file in memory, as `write_speech` has it.

    "pcm" is bare 16-bit samples, little-endian: no header, and no note.
    """
    file = BytesIO()
    _write(file, samples, rate, checked_format(format, rate), note)
    return file.getvalue()


def streamed(pieces: Iterable[Samples], rate: int, format: str, note: str) -> Iterator[bytes]:
    """What `encoded` gives, in parts: a piece's come before the next piece is asked for.

    MP3 has a constant bit rate here, by which readers tell how long it is.
    What an encoder holds back of a piece (up to 0.5 s of Vorbis, 0.2 s of the others) comes with
    the next one. No length is known at the beginning: a WAV's header says 4 GiB, the others' none.
    The format is checked at once, samples as they come; see `write_speech` for what is raised.
    """
    checked_format(format, rate)
    written = "mp3 stream" if format == "mp3" else format
    parts = _parts(_Sink(), pieces, rate, written, note)
    return _endless(parts) if format == "wav" else parts


def checked_format(format: str, rate: int) -> str:
    """The format, if it is one of SERVED and takes the sampling rate; else ValueError."""
    if format not in SERVED:
        raise ValueError(f"the format {format!r} is unknown; known are {', '.join(SERVED)}")
    if format == "opus" and rate not in OPUS_RATES:
        known = ", ".join(map(str, OPUS_RATES))
        raise ValueError(f"opus cannot have {rate} samples a second, but {known}")
    return format


class _Sink:
    """A file in memory of which what was written is taken away while more is written.

    `amended`: what an encoder wrote, at the end, over bytes that were away: lengths in a header.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._begin = self._at = 0  # where those bytes begin in the file; where it writes next
        self.amended: list[tuple[int, bytes]] = []

    def write(self, data: bytes) -> int:
        away = max(0, min(self._begin - self._at, len(data)))
        if away:
            self.amended.append((self._at, data[:away]))
        place = self._at + away - self._begin
        self._bytes[place : place + len(data) - away] = data[away:]
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        end = self._begin + len(self._bytes)
        self._at = offset + {SEEK_SET: 0, SEEK_CUR: self._at}.get(whence, end)
        return self._at

    def tell(self) -> int:
        return self._at

    def taken(self) -> bytes:
        """All bytes since the last call."""
        data = bytes(self._bytes)
        self._begin += len(data)
        self._bytes.clear()
        return data


def _write(
    file: BinaryIO, samples: Samples | Iterable[Samples], rate: int, format: str, note: str
) -> None:
    sink = _Sink()
    blocks = [samples] if isinstance(samples, np.ndarray) else samples
    for part in _parts(sink, blocks, rate, format, note):
        file.write(part)
    for place, data in sink.amended:
        file.seek(place)
        file.write(data)


def _parts(
    sink: _Sink, pieces: Iterable[Samples], rate: int, format: str, note: str
) -> Iterator[bytes]:
    """What is written into the sink, as soon as it is there."""
    with _encoder(sink, rate, format, note) as encode:
        for block in _blocks(pieces):
            encode(block)
            if part := sink.taken():
                yield part
    if part := sink.taken():
        yield part


def _endless(parts: Iterator[bytes]) -> Iterator[bytes]:
    """A WAV's parts, whose header says the greatest length there is instead of none yet."""
    head = bytearray(next(parts))
    place = 12  # where a chunk begins: its name, its length, what is in it
    while head[place : place + 4] != b"data":
        length = int.from_bytes(head[place + 4 : place + 8], "little")
        place += 8 + length + length % 2
    head[4:8] = head[place + 4 : place + 8] = b"\xff" * 4
    yield bytes(head)
    yield from parts


def _blocks(pieces: Iterable[Samples]) -> Iterator[NDArray[np.int16]]:
    """All samples with 16 bits, in blocks that an encoder takes; one zero if there are none."""
    nothing = True
    for piece in pieces:
        check_samples(piece)
        for begin in range(0, len(piece), BLOCK):
            block = np.rint(piece[begin : begin + BLOCK] * np.float32(32768))
            yield np.clip(block, -32768, 32767).astype("<i2")
            nothing = False
    if nothing:  # libsndfile would write no header either
        yield np.zeros(1, np.int16)


Encode = Callable[[NDArray[np.int16]], object]  # takes (N,) samples, writes what it can


def _encoder(sink: _Sink, rate: int, format: str, note: str) -> AbstractContextManager[Encode]:
    if format in SOUNDFILE:
        return _by_libsndfile(sink, rate, format, note)
    if format in FFMPEG:
        return _by_ffmpeg(sink, rate, format, note)
    return nullcontext(lambda block: sink.write(block.tobytes()))


@contextmanager
def _by_libsndfile(sink: _Sink, rate: int, format: str, note: str) -> Iterator[Encode]:
    name, subtype, level, mode = SOUNDFILE[format]
    with SoundFile(
        sink, "w", rate, 1, subtype, format=name, compression_level=level, bitrate_mode=mode
    ) as file:
        # An ID3 tag takes Latin-1, and is left out where no text in it has more than 30 letters.
        file.comment = f"{unidecode(note):31}" if name == "MP3" else note
        file.software = "revoice"
        yield file.write


@contextmanager
def _by_ffmpeg(sink: _Sink, rate: int, format: str, note: str) -> Iterator[Encode]:
    container, codec, bit_rate, options = FFMPEG[format]
    with av.open(sink, "w", format=container, options=options | {"flush_packets": "1"}) as file:
        file.metadata["comment"] = note
        added = file.add_stream(codec, rate=rate, layout="mono", bit_rate=bit_rate)
        stream = cast(av.AudioStream, added)
        begin = 0

        def encode(block: NDArray[np.int16]) -> None:
            nonlocal begin
            frame = av.AudioFrame.from_ndarray(block[np.newaxis], format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate, begin
            frame.time_base = Fraction(1, rate)
            begin += len(block)
            file.mux(stream.encode(frame))

        yield encode
        file.mux(stream.encode(None))
