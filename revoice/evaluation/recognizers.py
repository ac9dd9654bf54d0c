"""Recognizers: what writes down the words that it hears."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import librosa
import numpy as np
from numpy.typing import NDArray

RATE = 16000  # Hz: what both hear
# Samples (N,) float32 mono, their rate in Hz, and the language (`en`, `en-us`): the text heard.
Recognizer = Callable[[NDArray[np.float32], int, str], str]
# Without the last two faster-whisper would ask the network for them.
WHISPER_FILES = ("model.bin", "config.json", "tokenizer.json")


class Choice(TypedDict):
    """What choice.json holds: Whisper in `folder`; where that is None, pocketsphinx."""

    describe: str  # as tables name it: "whisper base (sha256 d01c3014)"
    reason: str
    folder: str | None


def check_whisper(folder: str | Path) -> None:
    """Raise FileNotFoundError for a folder without a model in CTranslate2's form."""
    for file in WHISPER_FILES:
        if not (Path(folder) / file).is_file():
            raise FileNotFoundError(f"{folder} holds no Whisper model: there is no {file}")


def load_whisper(folder: str | Path, threads: int = 1, compute_type: str = "float32") -> Recognizer:
    """Whisper from a folder in CTranslate2's form, on the CPU: the same sound, the same text.

    It takes the same time for a word as for 30 seconds. No timestamps, no voice detection, no
    second try at a higher temperature.

    Args:
        compute_type: as CTranslate2 names them; `int8` takes two thirds of the time.

    Raises FileNotFoundError as `check_whisper`.
    """
    check_whisper(folder)
    whisper = importlib.import_module("faster_whisper").WhisperModel
    model = whisper(str(folder), device="cpu", compute_type=compute_type, cpu_threads=threads)

    def hear(samples: NDArray[np.float32], rate: int, language: str) -> str:
        if not len(samples):
            return ""
        segments, _ = model.transcribe(
            _at_rate(samples, rate),
            language=language.split("-")[0],
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        return " ".join(segment.text.strip() for segment in segments)

    return hear


def load_pocketsphinx() -> Recognizer:
    """pocketsphinx with its own model; what it returns raises ValueError unless it is English."""
    decoder: Any = importlib.import_module("pocketsphinx").Decoder(samprate=RATE, loglevel="FATAL")

    def hear(samples: NDArray[np.float32], rate: int, language: str) -> str:
        if language.split("-")[0] != "en":
            raise ValueError(f"pocketsphinx's own model knows English only, not {language!r}")
        decoder.reinit_feat()  # else the running mean of one clip's features changes the next clip
        decoder.start_utt()
        pcm = (np.clip(_at_rate(samples, rate), -1, 1) * 32767).astype(np.int16)
        decoder.process_raw(pcm.tobytes(), full_utt=True)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""

    return hear


def load_recognizer(folder: str | None, compute_type: str = "float32") -> Recognizer:
    """Whisper from the folder of a `Choice`; pocketsphinx where that is None."""
    return load_whisper(folder, compute_type=compute_type) if folder else load_pocketsphinx()


def _at_rate(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    if rate == RATE:
        return samples
    return librosa.resample(samples, orig_sr=rate, target_sr=RATE)
