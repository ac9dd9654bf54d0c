"""Recordings as people send them: prompts of the default corpus in a row, and three in a talk.

Both are MP3s of 44.1 kHz in stereo, with a room's noise under all of it. What is said in them, and
when, is known.
"""

import random
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import soundfile
from numpy.typing import NDArray

from revoice.config import AudioConfig
from revoice.corpus.asterisk import BYTES_PER_SECOND, asterisk_index, fetch
from revoice.corpus.audio import SAMPLE_RATE, resample
from revoice.corpus.naming import recording_id
from revoice.synthetic.voices import FRAME, LEVEL, QUIET, levelled, load_voice, loudness

LONG, THREE = "long.mp3", "three.mp3"  # what is written
ALLISON, HEART, CARLO = VOICES = "allison", "heart@0.8", "carlo"  # a low voice, and an Italian
WORDS = 4  # of a prompt, or more
TURN = 12.0  # seconds that a prompt of a talk may last
NOISE = 10 ** (-30 / 20)  # of the speech
FADE = SAMPLE_RATE // 200
SEATS = {ALLISON: (0.8, 0.8), HEART: (1.0, 0.6), CARLO: (0.6, 1.0)}  # left and right

Samples = NDArray[np.float32]
Said = tuple[str, Samples]  # a text, and how it sounds: 24 kHz, without silence around it


@dataclass(frozen=True)
class Spoken:
    """From when to when a text is heard, in seconds, and whose voice it is."""

    begin: float
    end: float
    text: str
    speaker: str


def write_long(folder: Path, data: Path, minutes: float = 12, seed: int = 1) -> list[Spoken]:
    """One voice: `folder/long.mp3`, English prompts with pauses of 0.2 to 3 s.

    `data` is the folder of the default corpus, `data/asterisk` of a run; what is not there is
    fetched into it: RuntimeError where it cannot be had.
    """
    draw, seconds = random.Random(seed), 60 * minutes
    said = _prompts(data, "en", _chosen(data, "en", seconds, draw), folder)
    turns = ((draw.uniform(0.2, 3), ALLISON, one) for one in said)
    return _write(folder / LONG, turns, seconds, seed)


def write_three(folder: Path, data: Path, minutes: float = 4, seed: int = 1) -> list[Spoken]:
    """Three voices in turn: `folder/three.mp3`, of 1 to 3 sentences each, pauses 0.3 to 1.2 s.

    Two speak English: the corpus's speaker, and a synthetic voice that is deeper than she is. The
    third is a man who speaks Italian. `data` as above; ModuleNotFoundError without hibari.
    """
    draw, seconds = random.Random(seed), 60 * minutes
    names = {"en": _chosen(data, "en", 2 * seconds, draw, TURN)}
    names["it"] = _chosen(data, "it", seconds, draw, TURN)
    half = len(names["en"]) // 2
    voices = {
        ALLISON: _prompts(data, "en", names["en"][:half], folder),
        HEART: _read(data, names["en"][half:]),
        CARLO: _prompts(data, "it", names["it"], folder),
    }
    return _write(folder / THREE, _turns(voices, draw), seconds, seed)


def _chosen(
    data: Path, language: str, seconds: float, draw: random.Random, longest: float = np.inf
) -> list[str]:
    """Prompts of several words, in an order drawn, for so many seconds or what there is."""
    if not (data / language).is_dir():
        fetch(language, data / language)
    names = [name for name, _ in asterisk_index(language)]
    draw.shuffle(names)
    chosen = []
    for name in names:
        length = (data / language / name).stat().st_size / BYTES_PER_SECOND
        if len(_text(data, language, name).split()) >= WORDS and length <= longest:
            chosen.append(name)
            seconds -= length
        if seconds <= 0:
            break
    return chosen


def _text(data: Path, language: str, name: str) -> str:
    return (data / language / name).with_suffix(".txt").read_text("utf-8").strip()


def _prompts(data: Path, language: str, names: Sequence[str], folder: Path) -> Iterator[Said]:
    """Prompts as they were recorded; `folder` is for what is there only for a while."""
    decoded = folder / f"decoded-{language}"
    resample(language, names, data / language, decoded, AudioConfig())
    read = [
        soundfile.read(decoded / f"{recording_id(language, n)}.wav", dtype="float32")[0]
        for n in names
    ]
    shutil.rmtree(decoded)
    for name, samples in zip(names, read, strict=True):
        yield _text(data, language, name), _bare(levelled(samples))


def _read(data: Path, names: Sequence[str]) -> Iterator[Said]:
    """English prompts as the synthetic voice reads them."""
    speak = load_voice(HEART, data)
    for text in map(partial(_text, data, "en"), names):
        yield text, _bare(levelled(speak(text, 1.0)))


def _bare(samples: Samples) -> Samples:
    """Without the silence before and after; its ends do not click."""
    frames = loudness(samples)
    loud = np.flatnonzero(frames > QUIET * frames.max())
    bare = samples[loud[0] * FRAME : (loud[-1] + 1) * FRAME].copy()
    bare[:FADE] *= np.linspace(0, 1, FADE, dtype=np.float32)
    bare[-FADE:] *= np.linspace(1, 0, FADE, dtype=np.float32)
    return bare


def _turns(
    voices: dict[str, Iterator[Said]], draw: random.Random
) -> Iterator[tuple[float, str, Said]]:
    """A pause, who speaks after it, and what, until somebody has nothing more to say.

    Nobody has two turns in a row.
    """
    last = ""
    while True:
        speaker = last = draw.choice([voice for voice in voices if voice != last])
        for _ in range(draw.randint(1, 3)):
            said = next(voices[speaker], None)
            if said is None:
                return
            yield draw.uniform(0.3, 1.2), speaker, said


def _write(
    path: Path, turns: Iterator[tuple[float, str, Said]], seconds: float, seed: int
) -> list[Spoken]:
    """Write turns until the recording is full, as MP3; returns what is said in it."""
    sound = np.zeros((round(seconds * SAMPLE_RATE), 2), np.float32)
    spoken: list[Spoken] = []
    at = 0
    for pause, speaker, (text, samples) in turns:
        at += round(pause * SAMPLE_RATE)
        end = at + len(samples)
        if end > len(sound):
            break
        sound[at:end] = samples[:, None] * np.array(SEATS[speaker], np.float32)
        spoken.append(Spoken(at / SAMPLE_RATE, end / SAMPLE_RATE, text, speaker))
        at = end
    for channel in (0, 1):
        sound[:, channel] += np.resize(_noise(np.random.default_rng([seed, channel])), len(sound))
    _encode(sound, path)
    return spoken


def _noise(random: np.random.Generator) -> Samples:
    """Half a minute of pink noise that joins on to itself; both channels mixed have the level."""
    shape = 1 / np.sqrt(np.maximum(np.fft.rfftfreq(30 * SAMPLE_RATE, 1 / SAMPLE_RATE), 30))
    noise = np.fft.irfft(shape * np.exp(2j * np.pi * random.random(len(shape))))
    level = NOISE * LEVEL * 0.8 * np.sqrt(2)
    return (noise * level / noise.std()).astype(np.float32)


def _encode(sound: Samples, path: Path) -> None:
    """Samples (n, 2) of 24 kHz as MP3, 44.1 kHz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y"]
    command += ["-f", "s16le", "-ar", str(SAMPLE_RATE), "-ac", "2", "-i", "-"]
    command += ["-ar", "44100", "-c:a", "libmp3lame", "-b:a", "128k", "-fflags", "+bitexact"]
    samples = (sound.clip(-1, 1) * 32767).astype("<i2")
    subprocess.run([*command, "-bitexact", path], input=samples.tobytes(), check=True)
