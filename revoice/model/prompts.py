"""Voice prompts: what a speaker said, as text tokens and codes, and Plachtaa's files of them."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from revoice.files import atomic

log = logging.getLogger(__name__)

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


@dataclass(frozen=True)
class Origin:
    """What a preset's numbers are of: digests of the tokenizer and of the codec."""

    tokenizer: str
    codec: str


def read_preset(path: str | Path, model: Origin | None = None) -> Prompt:
    """Read a preset `.npz`: `audio_tokens` (1, T, 8), `text_tokens` (1, S), `lang_code`.

    Ours have a language for each symbol too, `languages` (S,), frames where they are aligned,
    `lasting` (S,), and their origin. Raises ValueError where the file is not of that form, and
    where it is of another origin than `model`.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            codes, ids = file["audio_tokens"], file["text_tokens"]
            code = int(file["lang_code"]) if "languages" not in file else None
            languages = file["languages"].tolist() if code is None else []
            lasting = file["lasting"].tolist() if "lasting" in file else None
            of = {key: str(file[key]) for key in ("tokenizer", "codec") if key in file}
    except (KeyError, TypeError, ValueError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path} is not a voice preset: {error}") from None
    if codes.ndim != 3 or ids.ndim != 2 or len(codes) != 1 or len(ids) != 1:
        raise ValueError(
            f"{path} is not a voice preset: audio_tokens is {codes.shape}, expected (1, frames, "
            f"quantizers); text_tokens is {ids.shape}, expected (1, symbols)"
        )
    if code is not None and not 0 <= code < len(PRESET_LANGUAGES):
        raise ValueError(f"{path}: lang_code {code} is none of 0 (zh), 1 (ja), 2 (en)")
    if not all(np.issubdtype(x.dtype, np.integer) and x.min(initial=0) >= 0 for x in (codes, ids)):
        raise ValueError(f"{path} is not a voice preset: its tokens are no whole numbers from 0 on")
    if not codes.shape[1] or not ids.shape[1]:
        raise ValueError(f"{path} is not a voice preset: it has no codes, or no text")
    if code is None and len(languages) != ids.shape[1]:
        raise ValueError(f"{path}: languages are not one for each of its text tokens")
    if lasting is not None and (len(lasting) != ids.shape[1] or sum(lasting) != codes.shape[1]):
        raise ValueError(f"{path}: `lasting` does not give each text token its frames")
    if model and not of:
        log.warning("%s does not say with which tokenizer and codec it was made", path)
    for key, digest in of.items():
        if model and digest != getattr(model, key):
            raise ValueError(
                f"{path} was made with another {key} than the model's: its numbers mean something "
                "else. Make a preset of the recording with this model."
            )
    if code is not None:
        languages = [PRESET_LANGUAGES[code]] * ids.shape[1]
    return Prompt(ids[0].tolist(), languages, codes[0].astype(np.int16), lasting)


def write_preset(path: str | Path, prompt: Prompt, origin: Origin | None = None) -> None:
    """Write a preset `.npz`, which Plachtaa's interface reads if it is in one language of its own.

    Raises ValueError for a prompt without text or codes.
    """
    if not len(prompt.ids) or not len(prompt.codes):
        raise ValueError(f"{path}: a preset has text and codes, this prompt lacks one of them")
    told: dict[str, Any] = {} if prompt.lasting is None else {"lasting": np.array(prompt.lasting)}
    languages = set(prompt.languages)
    if len(languages) == 1 and languages <= set(PRESET_LANGUAGES):
        told["lang_code"] = np.int32(PRESET_LANGUAGES.index(languages.pop()))
    else:
        told["languages"] = np.array(prompt.languages)
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            audio_tokens=np.asarray(prompt.codes, np.int64)[None],
            text_tokens=np.asarray(prompt.ids, np.int64)[None],
            **told,
            **(asdict(origin) if origin else {}),
        )
