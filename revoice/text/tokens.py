"""What a tokenizer gives, and what all tokenizers have."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from revoice.files import write_json


class Tokens(NamedTuple):
    """A text as symbols; the three lists have the same length.

    A symbol outside the tokenizer's vocabulary stands in `symbols` as it came from the text, with
    the id `tokenizer.unknown`.
    """

    symbols: list[str]
    ids: list[int]
    languages: list[str]  # one per symbol


class SymbolTable:
    """The symbols of a tokenizer, index = id, and what a model and files say of them."""

    name: str
    symbols: list[str]
    options: tuple[str, ...]  # attributes that are saved
    wrapped = False  # whether the model reads a whole text between the ids 1 and 2
    sentences = False  # whether texts are made to end in a mark

    @property
    def num_symbols(self) -> int:
        return len(self.symbols)

    @property
    def ends(self) -> tuple[int, ...]:
        """Ids before and after a whole text: two or none."""
        return (1, 2) if self.wrapped else ()

    def digest(self, count: int | None = None) -> str:
        """SHA-256, in hexadecimal, of what the ids mean; of the first `count` of them."""
        how = " wrapped" * self.wrapped + " sentences" * self.sentences
        named = [self.name + how, self.symbols[:count]]
        return hashlib.sha256(json.dumps(named, ensure_ascii=False).encode()).hexdigest()

    @property
    def meta(self) -> dict[str, str]:
        """What a model stores of its tokenizer, for `check_tokenizer`."""
        return {"name": self.name, "sha256": self.digest()}

    def save(self, path: str | Path) -> None:
        """Write the definition as JSON, for `load_tokenizer`."""
        stored = {option: getattr(self, option) for option in self.options}
        write_json(path, {"name": self.name, **stored, "symbols": self.symbols})
