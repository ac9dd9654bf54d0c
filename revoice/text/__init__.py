"""Text to symbols and ids: two front ends behind one call, `tokenizer(text, language) -> Tokens`.

`vallex` reads English, Mandarin and Japanese exactly as the published VALL-E X model expects it;
`espeak` reads any language of eSpeak NG with a symbol table of its own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from revoice.files import read_json
from revoice.text.espeak import EspeakTokenizer
from revoice.text.tokens import Tokens
from revoice.text.vallex import VallexTokenizer

__all__ = ["EspeakTokenizer", "Tokenizer", "Tokens", "VallexTokenizer"]
__all__ += ["check_tokenizer", "load_tokenizer"]

Tokenizer = VallexTokenizer | EspeakTokenizer


def load_tokenizer(path: str | Path) -> Tokenizer:
    """The tokenizer that `tokenizer.save(path)` wrote, or that a `.k2symbols` file is the table of.

    Raises ValueError, naming the file, where it is not a tokenizer's.
    """
    if Path(path).suffix == ".k2symbols":
        return EspeakTokenizer.from_k2symbols(path)
    stored = read_json(path)
    name = stored.get("name") if isinstance(stored, dict) else None
    if name not in ("vallex", "espeak"):
        raise ValueError(f"{path} holds no tokenizer: its name is {name!r}, not vallex or espeak.")
    try:
        if name == "vallex":
            return VallexTokenizer(stored["mend"], stored["symbols"], stored["languages"])
        return EspeakTokenizer(
            stored["symbols"], stored.get("wrapped", False), stored.get("sentences", False)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is not a whole {name} tokenizer ({type(error).__name__}: {error}). "
            "If the workflow made it, delete it and run again."
        ) from None


def check_tokenizer(tokenizer: Tokenizer, meta: Mapping[str, Any], grown: bool = False) -> None:
    """Raise ValueError unless a model was trained with this tokenizer.

    Args:
        meta: the model's JSON; under "tokenizer" it has the `tokenizer.meta` of its training.
        grown: the tokenizer may have new symbols after those of the model, which is to grow.
    """
    stored = meta.get("tokenizer")
    if not isinstance(stored, Mapping) or not {"name", "sha256"} <= stored.keys():
        raise ValueError(
            "The model does not say which tokenizer it was trained with: its JSON file has no "
            '"tokenizer" with "name" and "sha256". Import or train it again.'
        )
    if stored["name"] != tokenizer.name:
        raise ValueError(
            f"The model was trained with the tokenizer {stored['name']}, but {tokenizer.name} is "
            "asked for: the same id would mean another sound. "
            f"Set `tokenizer: {stored['name']}` for this experiment, or train from scratch."
        )
    counts = range(tokenizer.num_symbols + 1) if grown else [tokenizer.num_symbols]
    if stored["sha256"] not in map(tokenizer.digest, counts):
        raise ValueError(
            f"The model was trained with another symbol table of the tokenizer {tokenizer.name} "
            f"(SHA-256 {stored['sha256'][:12]}…) than this one ({tokenizer.digest()[:12]}…, "
            f"{tokenizer.num_symbols} symbols): the same id would mean another sound. "
            "Use the tokenizer.json that lies with the model, or train from scratch."
        )
