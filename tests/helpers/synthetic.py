"""Cuts made up for tests of data and training: the codes follow from the text."""

import hashlib
from pathlib import Path

import numpy as np
from lhotse import AudioSource, CutSet, MonoCut, Recording, SupervisionSegment
from lhotse.features.io import NumpyHdf5Writer

SYMBOLS = 24
FRAMES_PER_SYMBOL = 5
MODEL = {"layout": "valle", "width": 32, "layers": 2, "heads": 2, "text_symbols": SYMBOLS}


def write_cuts(
    folder: Path,
    number: int,
    seed: int = 0,
    copies: int = 1,
    symbols: tuple[int, int] = (3, 12),
    languages: tuple[str, ...] = ("en",),
) -> str:
    """Write `cuts.jsonl.gz` and `codes.h5`; every symbol is spoken as the same five frames."""
    folder.mkdir(parents=True, exist_ok=True)
    sounds = np.random.default_rng(123).integers(0, 1024, (SYMBOLS, FRAMES_PER_SYMBOL, 8))
    rng = np.random.default_rng(seed)
    cuts = []
    with NumpyHdf5Writer(folder / "codes.h5") as writer:
        for i in range(number):
            tokens = rng.integers(1, SYMBOLS, int(rng.integers(*symbols))).tolist()
            codes = sounds[tokens].reshape(-1, 8).astype(np.int16)
            name, seconds = f"cut-{i:05d}", len(codes) / 75
            recording = Recording(
                id=name,
                sources=[AudioSource("file", [0], "none.wav")],
                sampling_rate=24000,
                num_samples=len(codes) * 320,
                duration=seconds,
            )
            supervision = SupervisionSegment(
                id=name,
                recording_id=name,
                start=0,
                duration=seconds,
                text="words",
                language=languages[i % len(languages)],
                speaker=f"speaker-{i % 3}",
                custom={
                    "tokens": tokens,
                    "token_languages": [languages[i % len(languages)]] * len(tokens),
                    "frames": [FRAMES_PER_SYMBOL] * len(tokens),
                    "phonemes": "words",
                },
            )
            cut = MonoCut(name, 0, seconds, 0, [supervision], recording=recording)
            cut.codes_digest = hashlib.sha256(codes).hexdigest()[:16]
            cut.codes = writer.store_array(name, codes, frame_shift=1 / 75, temporal_dim=0, start=0)
            cuts.append(cut)
    path = folder / "cuts.jsonl.gz"
    with CutSet.open_writer(path) as manifest:
        for copy in range(copies):
            for cut in cuts:
                manifest.write(cut.with_id(f"{cut.id}-{copy}"))
    return str(path)
