"""Files of a corpus for unit tests: texts, and noise that stands for speech."""

from pathlib import Path

import numpy as np
import soundfile

from revoice.corpus.audio import SAMPLE_RATE


def write(path: Path, content: str | bytes) -> None:
    """A file, with the folders that lead to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def speak(path: Path, seconds: float = 0.5, rate: int = SAMPLE_RATE) -> None:
    """A recording, another one for another length of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(len(path.name)).standard_normal(round(seconds * rate))
    soundfile.write(path, samples, rate)
