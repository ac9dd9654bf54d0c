"""A folder of recordings as people have them: long ones, spoken by hibari, and what is none."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import soundfile
from numpy.typing import NDArray

from revoice.synthetic.voices import load_voice

RATE = 24000
SAID = {
    "walk.mp3": [
        "The old road follows the river down to the sea.",
        "Nobody had walked along it since the bridge was washed away.",
        "We took some bread, a lantern, and a very long rope.",
        "By the evening all of us were tired and wet.",
    ],
    "garden.flac": [
        "My neighbour grows tomatoes on the roof of his garage.",
        "In the morning he carries the water up by hand.",
        "The birds have learned exactly when he goes to work.",
    ],
    "letters.ogg": [
        "She kept every letter in a box below the stairs.",
        "Some of them had never been opened at all.",
        "The oldest came from a sailor who could not spell.",
    ],
    "kitchen.wav": [
        "First you have to warm the oven for ten minutes.",
        "Then mix the flour with a little salt and butter.",
        "Do not open the door before the cake has risen.",
    ],
}


def speak(sentences: list[str], pause: float = 0.9, seed: int = 1) -> NDArray[np.float32]:
    """Sentences one after the other, with pauses of about so many seconds, above a soft noise."""
    voice = load_voice("heart", Path())
    random = np.random.default_rng(seed)
    parts = [np.zeros(RATE // 2, np.float32)]
    for sentence in sentences:
        parts.append(voice(sentence, 1.0))
        parts.append(np.zeros(int(random.uniform(0.8, 1.2) * pause * RATE), np.float32))
    samples = np.concatenate(parts)
    noise = random.normal(0, 3e-4, len(samples))
    return (samples + noise).astype(np.float32)


def write_sound(samples: NDArray[np.float32], path: Path) -> None:
    """Stereo at 44.1 kHz, in the format that the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wav = path.with_name(f".{path.name}.wav")
    soundfile.write(wav, samples, RATE)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", "-i", wav]
    subprocess.run([*command, "-ac", "2", "-ar", "44100", path], check=True)
    wav.unlink()


def write_podcasts(folder: Path) -> None:
    """The recordings of `SAID`; one with subtitles, one with its text, and two without speech."""
    for number, (name, sentences) in enumerate(SAID.items()):
        write_sound(speak(sentences, seed=number), folder / name)
    seconds = soundfile.info(folder / "garden.flac").duration
    third = seconds / 3
    lines = [(i * third, (i + 1) * third, text) for i, text in enumerate(SAID["garden.flac"])]
    lines.append((seconds + 60, seconds + 64, "Thank you for watching."))
    srt = "".join(
        f"{i}\n{_time(begin)} --> {_time(end)}\n{text}\n\n"
        for i, (begin, end, text) in enumerate(lines, 1)
    )
    (folder / "garden.srt").write_text(srt, "utf-8")
    (folder / "letters.txt").write_text(" ".join(SAID["letters.ogg"]), "utf-8")
    random = np.random.default_rng(3)
    times = np.arange(6 * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * f * times) for f in (220, 277.2, 329.6)) * 0.1
    write_sound(chord.astype(np.float32), folder / "music.mp3")
    write_sound(random.normal(0, 1e-3, 6 * RATE).astype(np.float32), folder / "hiss.wav")


def _time(seconds: float) -> str:
    whole, rest = divmod(round(1000 * seconds), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d},{rest:03d}"
