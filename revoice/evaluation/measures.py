"""What hears one clip: a recognizer, speaker embeddings, DNSMOS.

Every measure is a package of its own that may be missing or fail on a clip; then the reason
stands where the number would be, and the other measures go on. Its models are loaded once per
process, on first use.
"""

import importlib
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import librosa
import numpy as np

from revoice.config import ScoreConfig
from revoice.evaluation.recognizers import RATE, Recognizer, load_recognizer

MEASURES = ("transcript", "similarity", "dnsmos")


def measure_clip(
    path: str, language: str, prompt: str, config: ScoreConfig, whisper: str | None = None
) -> dict[str, Any]:
    """Measure one clip; the result depends on nothing that was measured before it.

    Args:
        path: an audio file, or "" for a clip that does not exist.
        prompt: another recording of the same speaker, or "".
        whisper: the folder of the Whisper that hears it; None: pocketsphinx does.

    Returns:
        `transcript` (str), `similarity` (cosine of speaker embeddings, -1 to 1), `dnsmos`
        (overall quality, 1 to 5), `duration` (seconds); None for what is left out or failed, and
        `notes`, {measure: reason}, for what failed.
    """
    result: dict[str, Any] = dict.fromkeys((*MEASURES, "duration")) | {"notes": {}}
    if not path:
        return result
    samples, _ = librosa.load(path, sr=RATE, mono=True)
    result["duration"] = round(len(samples) / RATE, 3)
    measures: dict[str, tuple[str | None, Callable[[], Any]]] = {
        "transcript": (config.recognizer, lambda: _recognizer(whisper)(samples, RATE, language)),
        "similarity": (config.similarity, lambda: round(speaker_similarity(samples, prompt), 4)),
        "dnsmos": (config.dnsmos, lambda: round(dnsmos(samples), 3)),
    }
    for name, (wanted, measure) in measures.items():
        if wanted is None:
            continue
        try:
            result[name] = measure()
        except Exception as error:  # whatever a measure's package raises, the others go on
            result["notes"][name] = " ".join(str(error).split()) or type(error).__name__
    return result


def speaker_similarity(samples: np.ndarray, prompt: str) -> float:
    """Cosine of the speaker embeddings of (N,) float32 samples at 16 kHz and of a file.

    Raises ValueError where there is no prompt, or one of the two holds no voice.
    """
    if not prompt:
        raise ValueError("no other recording of this speaker to compare with")
    return float(np.dot(embedding(samples), _prompt_embedding(prompt)))


def embedding(samples: np.ndarray) -> np.ndarray:
    """(256,) float32 speaker embedding, of length 1, of (N,) float32 samples at 16 kHz.

    Raises ValueError where no voice is found.
    """
    encoder = _voice_encoder()
    if not np.any(samples):
        raise ValueError("silence: no voice to compare")
    voiced = importlib.import_module("resemblyzer").preprocess_wav(samples)
    if not len(voiced):
        raise ValueError("no voice was found in it")
    return encoder.embed_utterance(voiced)


def dnsmos(samples: np.ndarray) -> float:
    """DNSMOS P.835 overall quality, 1 to 5, of (N,) float32 samples at 16 kHz."""
    if not len(samples):
        raise ValueError("the clip is empty")
    return float(_dnsmos()(np.clip(samples, -1, 1), RATE, False)["ovrl_mos"])


@cache
def _recognizer(whisper: str | None) -> Recognizer:
    return load_recognizer(whisper)


@cache
def _dnsmos() -> Any:
    """speechmos's DNSMOS whose two networks take one thread each, not the whole machine."""
    module = importlib.import_module("speechmos.dnsmos")
    ort = importlib.import_module("onnxruntime")
    folder = Path(str(module.__file__)).parent / "dnsmos_models"
    models = [str(folder / name) for name in ("sig_bak_ovr.onnx", "model_v8.onnx")]
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    scorer = module.DNSMOS(*models)
    scorer.onnx_sess, scorer.p808_onnx_sess = (
        ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]) for model in models
    )
    return scorer


@cache
def _voice_encoder() -> Any:
    return importlib.import_module("resemblyzer").VoiceEncoder("cpu", verbose=False)


@lru_cache(maxsize=1024)
def _prompt_embedding(path: str) -> np.ndarray:
    return embedding(librosa.load(path, sr=RATE, mono=True)[0])
