"""Any audio that ffmpeg reads, to 24 kHz mono 16-bit WAV; what it was, and what was wrong."""

import logging
import os
import re
import struct
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import numpy as np
import soundfile
from lhotse import Recording, RecordingSet
from lhotse.audio import AudioSource

from revoice.config import AudioConfig
from revoice.corpus.naming import recording_id
from revoice.files import sha256

SAMPLE_RATE = 24000
FILES_PER_PROCESS = 32
WRITTEN = {"ac": 1, "ar": SAMPLE_RATE, "acodec": "pcm_s16le", "map_metadata": -1}
WRITTEN |= {"fflags": "+bitexact", "flags:a": "+bitexact"}
CHANNELS = {"mono": 1, "stereo": 2, "2.1": 3, "quad": 4, "4.0": 4, "5.0": 5, "5.1": 6, "7.1": 8}
PLAYLISTS = {"concat", "hls", "dash"}  # text that sends ffmpeg to other files
WAVE_LENGTH_UNKNOWN = 0x7FFFF000  # from here on: what programs write that write to a pipe
SILENCE = 1e-4  # a lower peak is no sound: -80 dB of full scale
# In what ffmpeg prints, a line's level tells its words from those that files say of themselves.
FAULT = re.compile(
    r"(?im)^(?:\[[^]]*\] )*\[(?:error|fatal)\] "
    r"(.*(?:corrupt|invalid data|ended prematurely|error).*)$"
)
SOUNDLESS = re.compile(r"(?m)^(?:\[[^]]*\] )*\[fatal\] Stream .* matches no streams\.$")
INPUT = re.compile(r"^Input #(\d+), (\S+), from .*\n((?: .*\n)*)", re.M)
STREAM = re.compile(r"^ +Stream #.*?: Audio: (\w+).*?, (\d+) Hz, ([^,\n]+), \w+", re.M)
OTHER_STREAM = re.compile(r"^ +Stream #(?!.*(?:Audio:|attached pic))", re.M)
DURATION = re.compile(r"^ +Duration: (\d+):(\d+):([\d.]+)", re.M)


@dataclass
class Source:
    """What one file was, and the reason if it was rejected. `duration` is in seconds."""

    path: str
    id: str
    sha256: str = ""
    format: str = ""
    codec: str = ""
    rate: int | None = None
    channels: int | None = None
    declared: float | None = None  # seconds, by the file's header
    duration: float | None = None  # seconds, decoded
    peak: float | None = None  # of the mono result, full scale 1
    linked: bool = False  # was 24 kHz mono 16-bit already
    reason: str = ""


def resample(
    corpus: str,
    paths: Sequence[str],
    root: Path,
    folder: Path,
    config: AudioConfig,
    threads: int = 1,
) -> list[Source]:
    """Convert files of a corpus, `paths` below `root`, to `folder/{id}.wav`, 24 kHz mono 16-bit.

    Channels are mixed down. Conforming files are linked, unless loudness is to change. A file
    that cannot be read, is empty, truncated or too short gets a reason and no output. `threads`
    is how many ffmpeg processes run at a time, each with up to 32 files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sources = [Source(path, recording_id(corpus, path)) for path in paths]
    seen: dict[str, str] = {}
    for source in sources:
        (folder / f"{source.id}.wav").unlink(missing_ok=True)
        try:
            source.reason = _fault_before_decoding(root / source.path)
        except OSError as error:
            source.reason = f"cannot be read: {error.strerror}"
        if not source.reason and source.id in seen:
            source.reason = f"has the same name as {seen[source.id]}"
        elif not source.reason:
            seen[source.id] = source.path
    good = [source for source in sources if not source.reason]
    to_decode = [s for s in good if config.loudness is not None or not _link(s, root, folder)]
    batches = [
        to_decode[i : i + FILES_PER_PROCESS] for i in range(0, len(to_decode), FILES_PER_PROCESS)
    ]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda batch: _decode(batch, root, folder, config.loudness), batches))
    for source in good:
        output = folder / f"{source.id}.wav"
        if not source.reason:
            _measure(source, output, config.min_seconds)
        if source.reason:
            output.unlink(missing_ok=True)
    for source in sources:
        with suppress(OSError):  # its reason says so
            if (root / source.path).is_file():  # a pipe would be waited for
                source.sha256 = sha256(root / source.path)
        if source.reason:
            logging.warning("%s rejected: %s", root / source.path, source.reason)
    return sources


def recordings_of(sources: Iterable[Source], folder: Path) -> RecordingSet:
    """The Lhotse recordings of what was not rejected, files in `folder`."""
    return RecordingSet.from_recordings(
        Recording(
            id=source.id,
            sources=[AudioSource("file", [0], (folder / f"{source.id}.wav").as_posix())],
            sampling_rate=SAMPLE_RATE,
            num_samples=round(source.duration * SAMPLE_RATE),
            duration=source.duration,
        )
        for source in sources
        if not source.reason and source.duration is not None
    )


def _fault_before_decoding(path: Path) -> str:
    """What is wrong with a file that its bytes say without decoding; "" where nothing is."""
    if not path.is_file():
        return "is not a file" if path.exists() else "does not exist"
    size = path.stat().st_size
    if not size:
        return "is empty"
    with open(path, "rb") as file:
        head = file.read(12)
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            while len(chunk := file.read(8)) == 8:
                name, length = struct.unpack("<4sI", chunk)
                if name == b"data":
                    there = size - file.tell()
                    if there < length < WAVE_LENGTH_UNKNOWN:
                        return f"is truncated: {there} of {length} bytes of audio are there"
                    break
                file.seek(length + length % 2, os.SEEK_CUR)
        elif head[:4] == b"OggS":
            file.seek(max(0, size - (1 << 17)))
            tail = file.read()
            last = tail.rfind(b"OggS")
            if last < 0 or len(tail) < last + 6 or not tail[last + 5] & 4:
                return "is truncated: its last Ogg page does not end the stream"
    return ""


def _link(source: Source, root: Path, folder: Path) -> bool:
    """Link a file that is 24 kHz mono 16-bit WAV already; say whether it was."""
    path = root / source.path
    if path.suffix.lower() not in {".wav", ".wave"}:
        return False
    try:
        info = soundfile.info(str(path))
    except soundfile.LibsndfileError:
        return False  # ffmpeg will say what is wrong
    kind = (info.format, info.subtype, info.samplerate, info.channels)
    if kind != ("WAV", "PCM_16", SAMPLE_RATE, 1) or not info.frames:
        return False
    source.format, source.codec, source.linked = "wav", "pcm_s16le", True
    source.rate, source.channels, source.declared = info.samplerate, 1, round(info.duration, 3)
    target, here = path.resolve(), Path.cwd().resolve()
    inside = not path.is_absolute() and target.is_relative_to(here)
    # what lies in here is linked from here: the folder of all of it can be moved
    link = os.path.relpath(target, folder.resolve()) if inside else target
    (folder / f"{source.id}.wav").symlink_to(link)
    return True


def _decode(batch: list[Source], root: Path, folder: Path, loudness: float | None) -> None:
    """Decode a batch in one process; where that complains, each file in a process of its own."""
    report, failed = _run_ffmpeg(batch, root, folder, loudness)
    if len(batch) > 1 and (failed or FAULT.search(report)):
        for source in batch:
            _decode([source], root, folder, loudness)
        return
    before = 0
    for block in INPUT.finditer(report):
        source = batch[int(block[1])]
        estimated = "Estimating duration" in report[before : block.start()]
        before = block.end()
        source.format = block[2]
        if stream := STREAM.search(block[3]):
            source.codec, source.rate = stream[1], int(stream[2])
            layout = stream[3].split("(")[0].strip().removesuffix(" channels")
            source.channels = CHANNELS.get(layout) or (int(layout) if layout.isdecimal() else None)
        declared = DURATION.search(block[3])
        # a guess, or the duration of a film, says nothing about what should be there
        if declared and not estimated and not OTHER_STREAM.search(block[3]):
            hours, minutes, seconds = (float(part) for part in declared.groups())
            source.declared = round(hours * 3600 + minutes * 60 + seconds, 3)
    fault = FAULT.search(report)
    if fault or failed:
        batch[0].reason = f"cannot be decoded: {fault[1] if fault else 'ffmpeg cannot read it'}"
        if SOUNDLESS.search(report):
            batch[0].reason = "holds no audio"
    for source in batch:
        if source.format in PLAYLISTS:
            source.reason = "is a list of other files, not audio"


def _run_ffmpeg(
    batch: list[Source], root: Path, folder: Path, loudness: float | None
) -> tuple[str, bool]:
    """One ffmpeg process for all files of a batch: what it printed, and whether it failed."""
    outputs = []
    for source in batch:
        # `file:` keeps ffmpeg from taking a colon or a dash in a name for something else
        stream = ffmpeg.input(f"file:{root / source.path}", protocol_whitelist="file")["a:0"]
        if loudness is not None:
            stream = stream.filter("loudnorm", I=loudness, TP=-1.5, LRA=11)
        outputs.append(ffmpeg.output(stream, f"file:{folder / source.id}.wav", **WRITTEN))
    command = ffmpeg.merge_outputs(*outputs).global_args(
        "-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info"
    )
    process = command.run_async(imageio_ffmpeg.get_ffmpeg_exe(), quiet=True, overwrite_output=True)
    report = process.communicate()[1].decode("utf-8", "replace")
    return re.sub(r"^\[info\] ", "", report, flags=re.M), process.returncode != 0


def _measure(source: Source, output: Path, min_seconds: float) -> None:
    """Duration and peak of the result; a reason where they show that it is of no use."""
    if not output.exists():
        source.reason = "holds no audio"
        return
    with soundfile.SoundFile(str(output)) as file:
        source.duration = file.frames / file.samplerate
        blocks = file.blocks(1 << 20, dtype="float32")
        source.peak = round(max((float(np.abs(block).max()) for block in blocks), default=0.0), 5)
    if source.declared and source.duration < 0.99 * source.declared - 0.1:
        source.reason = f"is truncated: {source.duration:.2f} of {source.declared:.2f} s decode"
    elif source.duration < min_seconds:
        source.reason = f"is too short: {source.duration:.3f} s, audio.min_seconds is {min_seconds}"
    elif source.peak < SILENCE:
        mixed = " once its channels are mixed: are they of opposite phase?"
        source.reason = "is silent" + (mixed if (source.channels or 1) > 1 else "")
