"""What a tokenizer gives."""

import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple


class Tokens(NamedTuple):
    """A text as symbols; the three lists have the same length.

    A symbol outside the tokenizer's vocabulary stands in `symbols` as it came from the text, with
    the id `tokenizer.unknown`.
    """

    symbols: list[str]
    ids: list[int]
    languages: list[str]  # one per symbol


def symbols_digest(name: str, symbols: Sequence[str]) -> str:
    """SHA-256, in hexadecimal, of what the ids of the tokenizer `name` mean."""
    definition = json.dumps([name, list(symbols)], ensure_ascii=False)
    return hashlib.sha256(definition.encode()).hexdigest()
