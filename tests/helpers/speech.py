"""Speech for a clone without `../shared/speech`: what lies there, spoken by eSpeak NG.

Usage: python -m tests.helpers.speech FOLDER. Names, texts, rates and formats are those of the
recordings. A process of its own: the noise in a voice goes on from one utterance to the next, so
only the same ones in the same order have the same bytes; and what speaks here reads for the
tokenizers there.
"""

import ctypes
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import espeakng_loader
import imageio_ffmpeg
import numpy as np
import soundfile
from scipy.signal import resample_poly

from tests.helpers.small import DIGITS

SYNCHRONOUS, UTF8, SPEED, PITCH = 2, 1, 1, 3  # as speak_lib.h numbers them
Utterance = tuple[str, int, int]  # voice, pitch (0 to 99), words per minute
SPEAKERS: dict[str, Utterance] = {
    "george": ("m1", 45, 150),
    "jackson": ("m3", 30, 150),
    "lucas": ("m7", 55, 140),
    "nicolas": ("m2", 40, 170),
    "theo": ("m4", 60, 180),
    "yweweler": ("m6", 35, 165),
}
TAKES = 8
READERS: dict[str, Utterance] = {"8455": ("m3", 40, 160), "8463": ("f2", 55, 150)}
READ = {
    "8455/210777/8455_210777_000067_000000": (
        "This I read with great attention, while they sat silent."
    ),
    "8463/294825/8463_294825_000043_000000": "KNOT one point one five miles per hour",
}
LJ: Utterance = ("f5", 50, 130)  # one that pocketsphinx understands
LJSPEECH = {
    "LJ049-0108": (
        "In addition, the restriction would probably eliminate a need for the requirement"
        " which has been urged as necessary for the exercise of Federal power,"
    ),
    "LJ049-0124": "In addition, the proposed legislation will insure.",
}
# What ffmpeg writes of it: rate, channels, codec.
FORMATS = {
    "headset-16000-pcm16.wav": (16000, 1, "pcm_s16le"),
    "mono-16000-pcm16.wav": (16000, 1, "pcm_s16le"),
    "mono-16000.flac": (16000, 1, "flac"),
    "mono-22050-float32.wav": (22050, 1, "pcm_f32le"),
    "mono-48000-vorbis.ogg": (48000, 1, "libvorbis"),
    "stereo-8000-pcm16.wav": (8000, 2, "pcm_s16le"),
}


class Espeak:
    """The library that `espeakng_loader` carries; once in a process."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        self.heard: list[np.ndarray] = []
        data = espeakng_loader.get_data_path().encode()
        self.rate = self.library.espeak_Initialize(SYNCHRONOUS, 0, data, 0)
        if self.rate <= 0:
            raise RuntimeError(f"eSpeak NG cannot be started with its data in {data.decode()}")
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        form = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
        )
        self.callback: Callable[..., int] = form(self._hear)  # kept: the library keeps an address
        self.library.espeak_SetSynthCallback(self.callback)

    def _hear(self, samples: "ctypes._Pointer[ctypes.c_short]", number: int, _: int) -> int:
        if number:
            self.heard.append(np.ctypeslib.as_array(samples, (number,)).copy())
        return 0

    def __call__(self, text: str, utterance: Utterance, rate: int) -> np.ndarray:
        """A text, spoken: float64 in -0.5 to 0.5, of the rate given."""
        voice, pitch, speed = utterance
        content = text.encode() + b"\0"
        self.heard.clear()
        faults = [
            self.library.espeak_SetVoiceByName(f"en-us+{voice}".encode()),
            self.library.espeak_SetParameter(SPEED, speed, 0),
            self.library.espeak_SetParameter(PITCH, pitch, 0),
            self.library.espeak_Synth(content, len(content), 0, 0, 0, UTF8, None, None),
            self.library.espeak_Synchronize(),
        ]
        if any(faults) or not self.heard:
            raise RuntimeError(f"eSpeak NG did not say {text!r} with the voice {voice}: {faults}")
        samples = np.concatenate(self.heard) / 2**16
        return resample_poly(samples, rate, self.rate)


def write_digits(say: Espeak, folder: Path) -> None:
    """Each digit by each speaker, every take a little higher and faster: 8 kHz."""
    folder.mkdir(parents=True)
    for speaker, (voice, pitch, speed) in SPEAKERS.items():
        for digit, word in enumerate(DIGITS):
            for take in range(TAKES):
                samples = say(word, (voice, pitch + take, speed + 3 * take), 8000)
                soundfile.write(folder / f"{digit}_{speaker}_{take}.wav", samples, 8000)


def write_libritts(say: Espeak, folder: Path) -> None:
    """Two utterances in LibriTTS's layout: 24 kHz."""
    for name, text in READ.items():
        path = folder / "dev-clean" / f"{name}.wav"
        path.parent.mkdir(parents=True)
        soundfile.write(path, say(text, READERS[name.split("/")[0]], 24000), 24000)
        for kind in ("normalized", "original"):
            path.with_suffix(f".{kind}.txt").write_text(f"{text}\n", "utf-8")


def write_ljspeech(say: Espeak, folder: Path) -> None:
    """Two utterances in LJSpeech's layout: 24 kHz."""
    (folder / "wavs").mkdir(parents=True)
    for name, text in LJSPEECH.items():
        soundfile.write(folder / "wavs" / f"{name}.wav", say(text, LJ, 24000), 24000)
    lines = [f"{name}|{text}|{text}\n" for name, text in LJSPEECH.items()]
    (folder / "metadata.csv").write_text("".join(lines), "utf-8")


def write_formats(say: Espeak, folder: Path) -> None:
    """Recordings without transcripts, in the formats that people send."""
    folder.mkdir(parents=True)
    text = LJSPEECH["LJ049-0124"]
    for (name, (rate, channels, codec)), voice in zip(
        FORMATS.items(), SPEAKERS.values(), strict=True
    ):
        samples = (say(text, voice, rate) * 2**15).astype("<i2")
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error"]
        command += ["-f", "s16le", "-ar", str(rate), "-ac", "1", "-i", "-"]
        command += ["-ac", str(channels), "-c:a", codec, "-fflags", "+bitexact", "-bitexact"]
        subprocess.run([*command, folder / name], input=samples.tobytes(), check=True)


def write_speech(folder: Path) -> None:
    """All of it, laid out as in `../shared/speech`."""
    say = Espeak()
    write_digits(say, folder / "digits")
    write_libritts(say, folder / "LibriTTS")
    write_ljspeech(say, folder / "LJSpeech-1.1")
    write_formats(say, folder / "formats")


if __name__ == "__main__":
    write_speech(Path(sys.argv[1]))
