"""Voice prompts: what a speaker said, as text tokens and codes, and Plachtaa's files of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from revoice.files import atomic

# The presets number languages in this order; the model's language embedding does not.
PRESET_LANGUAGES = ("zh", "ja", "en")


@dataclass(frozen=True)
class Prompt:
    """A recording and its transcript, tokenized; empty for synthesis without a voice.

    `ids` and `languages` are one per text symbol, `codes` is (frames, quantizers) int16. `lasting`:
    the frames of each symbol, where an alignment is known.
    """

    ids: Sequence[int] = ()
    languages: Sequence[str] = ()
    codes: NDArray[np.int16] = field(default_factory=lambda: np.zeros((0, 8), np.int16))
    lasting: Sequence[int] | None = None

    @property
    def parts(self) -> list[tuple[int, int]]:
        """Symbols and frames of each part whose length is known: of each symbol, or of all."""
        if self.lasting is None:
            return [(len(self.ids), len(self.codes))]
        return [(1, frames) for frames in self.lasting]


def read_preset(path: str | Path) -> Prompt:
    """Read a preset `.npz`: `audio_tokens` (1, T, 8), `text_tokens` (1, S), `lang_code`.

    Raises ValueError where the file is not of that form.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            codes, ids, code = file["audio_tokens"], file["text_tokens"], int(file["lang_code"])
    except (KeyError, TypeError, ValueError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path} is not a voice preset: {error}") from None
    if codes.ndim != 3 or ids.ndim != 2 or len(codes) != 1 or len(ids) != 1:
        raise ValueError(
            f"{path} is not a voice preset: audio_tokens is {codes.shape}, expected (1, frames, "
            f"quantizers); text_tokens is {ids.shape}, expected (1, symbols)"
        )
    if not 0 <= code < len(PRESET_LANGUAGES):
        raise ValueError(f"{path}: lang_code {code} is none of 0 (zh), 1 (ja), 2 (en)")
    languages = [PRESET_LANGUAGES[code]] * ids.shape[1]
    return Prompt(ids[0].tolist(), languages, codes[0].astype(np.int16))


def write_preset(path: str | Path, prompt: Prompt) -> None:
    """Write a preset `.npz` that Plachtaa's interface reads.

    Raises ValueError where the prompt's text is not in one of the three languages it knows.
    """
    languages = set(prompt.languages)
    if len(languages) != 1 or not languages <= set(PRESET_LANGUAGES):
        raise ValueError(
            f"{path}: a preset has one language of {', '.join(PRESET_LANGUAGES)}; "
            f"this prompt has {', '.join(sorted(languages)) or 'none'}"
        )
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            audio_tokens=np.asarray(prompt.codes, np.int64)[None],
            text_tokens=np.asarray(prompt.ids, np.int64)[None],
            lang_code=np.int32(PRESET_LANGUAGES.index(languages.pop())),
        )
