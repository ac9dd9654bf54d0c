"""Text in any language of eSpeak NG to phones, through phonemizer."""

import functools
import logging
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from revoice.text.tokens import SymbolTable, Tokens

TOGETHER = 1000  # texts in memory
WORD, PHONE, SYLLABLE = "_", "|", "-"
PAD, BOS, EOS = SPECIAL = ("<pad>", "<bos>", "<eos>")

MARKS, SENTENCE_ENDS = ",.;:!?…¡¿-", ".!?…"

# Where a language's usual code is not espeak's.
USUAL = "en=en-us en-au=en-gb en-nz=en-gb fr=fr-fr zh=cmn no=nb es-mx=es-419"
CODES = dict(pair.split("=") for pair in USUAL.split())
PLAIN = zip("，、；：。！？—", ",,;:.!?-", strict=True)
SIGNS = str.maketrans({sign: f"{plain} " for sign, plain in PLAIN} | {"–": "-"})
# espeak passes over these, but would read "[[…]]" as phonemes; the last three are separators here.
SILENT = re.compile(r"[()\[\]{}<>\"“”„«»《》「」『』_|*]")
# Punctuation is what stands around a word: inside, as in "3.14" and "3:30", espeak reads it itself.
WORD_IN_PUNCTUATION = re.compile(rf"([{MARKS}]*?)(-?\.?\w.*?|[^{MARKS}].*?|)([{MARKS}]*)")


class EspeakTokenizer(SymbolTable):
    """Text in any of espeak's languages to phones, without stress marks.

    A symbol is a phone (`oʊ`), the separator `_` between words, or a punctuation mark. The table
    is PAD 0, BOS, EOS, then the symbols sorted.

    Args:
        symbols: the table, index = id, as `build` makes it.
        wrapped: whether the model reads a whole text, the prompt's with it, between BOS and EOS, as
            one of Lifeiteng's trainer does; ours does not. `ids` are without them.
        sentences: whether texts are made to look like those that the table was made of, which all
            end in a mark, see `as_sentence`: without one a model would not know where to end.
    """

    name = "espeak"
    options = ("wrapped", "sentences")
    pad = 0
    unknown = -1  # no row: only `batch` gives it

    def __init__(
        self, symbols: Sequence[str], wrapped: bool = False, sentences: bool = False
    ) -> None:
        if tuple(symbols[:3]) != SPECIAL or len(set(symbols)) != len(symbols):
            raise ValueError(f"the symbols do not begin with {', '.join(SPECIAL)}, or one repeats")
        self.symbols, self.wrapped, self.sentences = list(symbols), wrapped, sentences
        self._ids = {symbol: index for index, symbol in enumerate(self.symbols)}

    @classmethod
    def build(
        cls, texts: Iterable[tuple[str, str]], base: "EspeakTokenizer | None" = None
    ) -> "EspeakTokenizer":
        """The tokenizer for (text, language) pairs; symbols that `base` lacks follow its own."""
        if base:
            new = {WORD, *chain.from_iterable(map(base._read, _symbols_of(texts)))}
            new.difference_update(base.symbols)
            return cls([*base.symbols, *sorted(new)], base.wrapped, base.sentences)
        new, sentences = {WORD}, True
        for symbols in filter(None, _symbols_of(texts)):
            new.update(symbols)
            sentences &= symbols[-1] in SENTENCE_ENDS
        return cls([*SPECIAL, *sorted(new)], sentences=sentences)

    def _read(self, symbols: list[str]) -> list[str]:
        return as_sentence(symbols, self._ids) if self.sentences else symbols

    @classmethod
    def from_k2symbols(cls, path: str | Path) -> "EspeakTokenizer":
        """The tokenizer of a model by Lifeiteng's trainer, from its `unique_text_tokens.k2symbols`.

        The file has a line `symbol id` per symbol. The trainer sorts the symbols and numbers them
        anew behind PAD, BOS and EOS. Raises ValueError, naming file and line, where it is no such
        table.
        """
        symbols = []
        try:
            for number, line in enumerate(Path(path).read_text("utf-8-sig").splitlines(), 1):
                fields = line.split()
                if fields and (len(fields) != 2 or not fields[1].isdigit()):
                    raise ValueError(f"line {number}, {line!r}, is not a symbol and its number")
                symbols += fields[:1]
            if WORD not in symbols:
                raise ValueError(f"there is no {WORD!r}, which stands between words")
            return cls([*SPECIAL, *sorted(symbols)], wrapped=True)
        except ValueError as error:  # UnicodeDecodeError is one
            raise ValueError(f"{path} is no symbol table: {error}") from None

    @property
    def separator(self) -> tuple[int, ...]:
        """Ids between two texts that are joined."""
        return (self._ids[WORD],)

    def __call__(self, text: str, language: str) -> Tokens:
        """The tokens of a plain text; `language` is a code such as `en_GB`, or espeak's own.

        Raises ValueError for a language that espeak does not have, and a symbol outside the table.
        """
        (tokens,) = self.batch([text], language)
        if lacking := {s for s, i in zip(*tokens[:2], strict=True) if i == self.unknown}:
            raise ValueError(
                f"{text!r} ({language}) has symbols that the training texts lack: "
                f"{' '.join(sorted(lacking))}. Change the text, or train with such texts."
            )
        return tokens

    def read_as(self, language: str) -> str:
        """espeak's code of a language; ValueError for one that espeak does not have."""
        return espeak_code(language)

    def batch(self, texts: Sequence[str], language: str) -> list[Tokens]:
        """One `Tokens` per text; a symbol outside the table has the id `unknown`."""
        return [
            Tokens(found, [self._ids.get(s, self.unknown) for s in found], [language] * len(found))
            for found in map(self._read, espeak_symbols(texts, language))
        ]


def as_sentence(symbols: list[str], known: Collection[str]) -> list[str]:
    """Symbols that begin with no mark, and end in one that ends sentences: a full stop, by default.

    Dots in a row are a full stop where the table, `known`, lacks them.
    """
    marks = (*MARKS, WORD)
    start = next((i for i, symbol in enumerate(symbols) if symbol not in marks), len(symbols))
    said = [symbol if symbol in known or symbol != "…" else "." for symbol in symbols[start:]]
    if not said or said[-1] in SENTENCE_ENDS:
        return said
    return [*said[: -1 if said[-1] in MARKS else None], "."]


def espeak_symbols(texts: Sequence[str], language: str) -> list[list[str]]:
    """Phones, separators and punctuation of each text; without a phone where nothing is spoken.

    Raises ValueError for a language that espeak does not have.
    """
    from phonemizer.separator import Separator

    backend = _backend(espeak_code(language), os.getpid())
    # phonemizer's own handling of punctuation loses count of the texts where one is empty.
    parts = [_parts(text) for text in texts]
    clauses = [part for text in parts for part, is_clause in text if is_clause]
    separator = Separator(word=WORD, phone=PHONE, syllable=SYLLABLE)
    phonemized = backend.phonemize(clauses, separator, strip=True) if clauses else []
    phones = dict(zip(clauses, phonemized, strict=True))
    symbols = []
    for text in parts:
        of_text: list[str] = []
        for part, is_clause in text:
            if not is_clause:
                of_text += part
                continue
            for word in filter(None, phones[part].split(WORD)):
                of_text += [WORD] * bool(of_text) + [phone for phone in word.split(PHONE) if phone]
        symbols.append(of_text)
    return symbols


def all_symbols(texts: Iterable[tuple[str, str]]) -> set[str]:
    """What espeak writes for (text, language) pairs."""
    return set(chain.from_iterable(_symbols_of(texts)))


def _symbols_of(texts: Iterable[tuple[str, str]]) -> Iterator[list[str]]:
    """The symbols of each text, a thousand at a time, language by language."""
    source = iter(texts)
    while some := list(islice(source, TOGETHER)):
        for language in dict.fromkeys(language for _, language in some):
            yield from espeak_symbols([text for text, of in some if of == language], language)


def espeak_code(language: str) -> str:
    """espeak's code of a language; ValueError for one that espeak does not have."""
    code = language.replace("_", "-")
    known = {name.lower(): name for name in _voices()}
    for name in (code.lower(), code.lower().split("-")[0]):
        if found := known.get(CODES.get(name, name)):
            return found
    raise ValueError(
        f"espeak has no language {language!r}. It has: {', '.join(sorted(known.values()))}"
    )


def _parts(text: str) -> list[tuple[str, bool]]:
    """A text as clauses (True) and the punctuation around them (False)."""
    text = SILENT.sub(" ", text.translate(SIGNS)).replace("...", "…")
    parts: list[tuple[str, bool]] = []
    for token in text.split():
        match = WORD_IN_PUNCTUATION.fullmatch(token)
        before, word, after = match.groups() if match else ("", token, "")
        if before:
            parts.append((before, False))
        if word and parts and parts[-1][1]:
            parts[-1] = (f"{parts[-1][0]} {word}", True)
        elif word:
            parts.append((word, True))
        if after:
            parts.append((after, False))
    return parts


@functools.cache
def _voices() -> frozenset[str]:
    """The codes that espeak has; points phonemizer to the espeak of `espeakng_loader`."""
    import espeakng_loader
    from phonemizer.backend import EspeakBackend
    from phonemizer.backend.espeak.wrapper import EspeakWrapper

    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    return frozenset(EspeakBackend.supported_languages())


@functools.cache
def _backend(code: str, process: int) -> Any:
    """One backend per language and process: espeak keeps state that a fork must not share."""
    from phonemizer.backend import EspeakBackend

    quiet = logging.getLogger("revoice.phonemizer")
    quiet.setLevel(logging.ERROR)  # it warns of every foreign word
    return EspeakBackend(
        code,
        punctuation_marks="\0",  # none: it has been taken out
        with_stress=False,
        language_switch="remove-flags",
        words_mismatch="ignore",
        logger=quiet,
    )
