"""Voices that read: hibari's, Kokoro's, and blends of two of Kokoro's, 24 kHz, on one thread."""

import importlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
from numpy.typing import NDArray

from revoice.corpus.audio import SAMPLE_RATE
from revoice.files import read_json
from revoice.synthetic.names import DISTILLED, parse_voice

FRAME = SAMPLE_RATE // 100
BEFORE, AFTER = 5, 10  # frames of silence that stay
QUIET = 0.01  # of the loudest frame: softer is silence
LEVEL, PEAK = 0.063, 0.95  # root mean square of what is no silence (-24 dB), and highest peak
PACE = 0.1  # a reading is up to so much slower or faster
LONGEST_TEXT = 500  # symbols that Kokoro reads at once
SHORTEST, LONGEST = 0.3, 14.0  # seconds of an utterance

Samples = NDArray[np.float32]
Voice = Callable[[str, float], Samples]  # a text, and the pace: 1.1 is a tenth faster


def load_voice(name: str, kokoro: Path) -> Voice:
    """The voice of that name; `kokoro` is the folder that `unpack_kokoro` wrote.

    A blend, `af_bella+am_puck`, has the mean of two style vectors; with a factor, `heart@0.85`,
    pitch and formants are so much higher, at the same pace: played as fast, having been read as
    much slower. Raises ModuleNotFoundError, saying what to install, where hibari is not there:
    Kokoro's voices read with its phones, too.
    """
    try:
        hibari_voice = importlib.import_module("hibari").Hibari
        phones_of = importlib.import_module("hibari.g2p").G2P
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"a synthetic corpus needs hibari ({error}): "
            "pip install --require-hashes --no-deps -r envs/requirements-voices.txt"
        ) from error
    parts, factor = parse_voice(name)
    if factor != 1:
        voice = load_voice("+".join(parts), kokoro)
        return lambda text, pace: _played(voice(text, pace / factor), factor)
    if parts == [DISTILLED]:
        hibari = hibari_voice(threads=1)
        return lambda text, pace: np.asarray(hibari(text, speed=pace, seed=0), np.float32)

    session = _session(kokoro / "model.onnx")
    styles = [np.fromfile(kokoro / f"{part}.bin", np.float32) for part in parts]
    style = np.mean([one.reshape(-1, 1, 256) for one in styles], axis=0)  # row: symbols - 1
    phones, ids = phones_of(british=name.startswith("b")), read_json(kokoro / "vocab.json")["vocab"]

    def speak(text: str, pace: float) -> Samples:
        symbols = [ids[phone] for phone in phones(text) if phone in ids][:LONGEST_TEXT]
        inputs = {
            "tokens": np.array([[0, *symbols, 0]], np.int64),
            "style": style[min(max(len(symbols) - 1, 0), len(style) - 1)].astype(np.float32),
            "speed": np.array([pace], np.float32),
        }
        return np.asarray(session.run(None, inputs)[0], np.float32).ravel()

    return speak


def _played(samples: Samples, factor: float) -> Samples:
    """Samples as if played so many times as fast, still 24 kHz."""
    return librosa.resample(samples, orig_sr=SAMPLE_RATE * factor, target_sr=SAMPLE_RATE)


def _session(model: Path) -> Any:
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    # the order in which threads add up would show in the last digits
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def pace_of(seed: int, path: str) -> float:
    """How fast an utterance is read: drawn by the seed and its name, whatever was read before."""
    return random.Random(f"{seed} {path}").uniform(1 - PACE, 1 + PACE)


def trimmed(samples: Samples) -> Samples:
    """Without the silence around it but 50 ms before and 100 ms after; empty where all is silent.

    Silence is whatever is 40 dB below the loudest 10 ms.
    """
    loud = np.flatnonzero(_speech(loudness(samples)))
    if not len(loud):
        return samples[:0]
    return samples[max(0, loud[0] - BEFORE) * FRAME : (loud[-1] + 1 + AFTER) * FRAME]


def levelled(samples: Samples) -> Samples:
    """At -24 dB of full scale, silence not counted; softer where its peak would be above 0.95."""
    frames = loudness(samples)
    speech = frames[_speech(frames)]
    if not len(speech):
        return samples
    gain = LEVEL / np.sqrt(np.mean(np.square(speech)))
    return samples * np.float32(min(gain, PEAK / max(np.abs(samples).max(), 1e-4)))


def loudness(samples: Samples) -> NDArray[np.float64]:
    """Root mean square of every whole 10 ms."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)
    return np.sqrt(np.mean(np.square(frames), axis=1))


def _speech(frames: NDArray[np.float64]) -> NDArray[np.bool_]:
    return frames > QUIET * frames.max(initial=1e-4)


def implausible(seconds: float, text: str) -> str:
    """Why an utterance cannot be right, by its duration; "" where it can."""
    if not SHORTEST <= seconds <= LONGEST:
        return f"lasts {seconds:.2f} s: not within {SHORTEST:g} and {LONGEST:g} s"
    letters = sum(map(str.isalnum, text))
    if letters > 3 and not 0.025 * letters < seconds - 0.15 < 0.2 * letters + 1:
        return f"lasts {seconds:.2f} s for {letters} letters"
    return ""
