"""The front end of VALL-E X: tagged text to IPA, and IPA to the ids of its 70 symbols."""

import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import tokenizers
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Whitespace

from revoice.files import read_json, write_json
from revoice.text.english import english_to_ipa
from revoice.text.espeak import espeak_symbols
from revoice.text.japanese import japanese_to_ipa
from revoice.text.mandarin import mandarin_to_ipa
from revoice.text.tokens import Tokens, symbols_digest

LANGUAGES = {"en": english_to_ipa, "zh": mandarin_to_ipa, "ja": japanese_to_ipa}
UNKNOWN = "[UNK]"
TAG = re.compile(r"\[([A-Z]{2,3})\](.*?)\[\1\]", re.DOTALL)
STRAY_TAG = re.compile(r"\[([A-Z]{2,3})\]")


class VallexTokenizer:
    """Text in English, Mandarin or Japanese to the symbols of the published VALL-E X model.

    The ids are those of the original front end, mistakes included; `mend` corrects what it plainly
    reads wrongly (see the language modules), on the same symbols. A symbol outside the table, such
    as a bracket or the c of a word that stays spelled, has the id `unknown`, which is a symbol of
    the model as well.

    Args:
        mend: correct the original's mistakes.
        symbols: the table, index = id; by default the published model's 70. More may follow.
        languages: further languages, read by espeak; `grow` makes the table for them.
    """

    name = "vallex"
    pad = 3
    unknown = 0
    separator: tuple[int, ...] = ()  # ids between two texts that are joined
    ends: tuple[int, ...] = ()  # ids before and after a whole text

    def __init__(
        self,
        mend: bool = False,
        symbols: Sequence[str] | None = None,
        languages: Sequence[str] = (),
    ) -> None:
        published = published_symbols()
        self.mend = mend
        self.symbols = list(symbols or published)
        self.languages = tuple(languages)
        if self.symbols[: len(published)] != published:
            raise ValueError("the symbols do not begin with the 70 of the published model")
        if repeated := {symbol for symbol in self.symbols if self.symbols.count(symbol) > 1}:
            raise ValueError(f"symbols stand twice in the table: {sorted(repeated)}")
        vocabulary = {symbol: index for index, symbol in enumerate(self.symbols)}
        self._tokenizer = tokenizers.Tokenizer(BPE(vocabulary, [], unk_token=UNKNOWN))
        self._tokenizer.pre_tokenizer = Whitespace()

    @property
    def num_symbols(self) -> int:
        return len(self.symbols)

    def digest(self, count: int | None = None) -> str:
        """SHA-256 of what the ids mean; of the first `count` of them.

        `mend` is no part of it: it changes no symbol.
        """
        return symbols_digest(self.name, self.symbols[:count])

    @property
    def meta(self) -> dict[str, str]:
        """What a model stores of its tokenizer, for `check_tokenizer`."""
        return {"name": self.name, "sha256": self.digest()}

    def __call__(self, text: str, language: str) -> Tokens:
        """Symbols, ids and a language per symbol.

        Args:
            text: plain, or with tagged spans: "[ZH]我说[ZH][EN]good morning[EN]".
            language: of everything outside tags: en, zh, ja, with or without a region (`en_GB`),
                or one of `languages`.

        Raises:
            ValueError: a language that this tokenizer does not read, a tag that is not closed.
        """
        tokens = Tokens([], [], [])
        for span, spoken in self._spans(text, language):
            ipa = self._ipa(span, spoken).replace(" ", "_")
            encoding = self._tokenizer.encode(ipa)
            tokens.symbols.extend(ipa[start:end] for start, end in encoding.offsets)
            tokens.ids.extend(encoding.ids)
            tokens.languages.extend([spoken] * len(encoding.ids))
        return tokens

    def batch(self, texts: Sequence[str], language: str) -> list[Tokens]:
        """One `Tokens` per text, as from a call each."""
        return [self(text, language) for text in texts]

    def read_as(self, language: str) -> str:
        """The name under which a language is read: `en` for `en_GB`.

        Raises ValueError for a language that this tokenizer does not read.
        """
        known = self._known(language)
        if known is None:
            readable = ", ".join((*LANGUAGES, *self.languages))
            raise ValueError(
                f"The tokenizer vallex does not read {language!r}, only {readable}. "
                "Use `tokenizer: espeak`, or name it in `new_languages`."
            )
        return known

    def grow(self, texts: Iterable[tuple[str, str]]) -> "VallexTokenizer":
        """A tokenizer that also reads the other languages of (text, language) pairs, by espeak.

        What espeak writes for them and the table lacks follows the old symbols, in code-point
        order; old ids stay what they are.
        """
        new: dict[str, list[str]] = {}
        for text, language in texts:
            if self._known(language) not in LANGUAGES:
                new.setdefault(language.lower(), []).append(text)
        signs = {
            sign
            for language, language_texts in new.items()
            for symbols in espeak_symbols(language_texts, language)
            for sign in "".join(symbols)
        }
        symbols = [*self.symbols, *sorted(signs - set(self.symbols))]
        languages = tuple(dict.fromkeys([*self.languages, *sorted(new)]))
        return VallexTokenizer(self.mend, symbols, languages)

    def save(self, path: str | Path) -> None:
        """Write the definition as JSON, for `load_tokenizer`."""
        definition = {
            "name": self.name,
            "mend": self.mend,
            "languages": list(self.languages),
            "symbols": self.symbols,
        }
        write_json(path, definition)

    def _spans(self, text: str, language: str) -> Iterator[tuple[str, str]]:
        """The parts of a text with their languages, tags removed."""
        end = 0
        for match in TAG.finditer(text):
            yield from self._untagged(text[end : match.start()], language)
            yield match[2], self.read_as(match[1].lower())
            end = match.end()
        yield from self._untagged(text[end:], language)

    def _untagged(self, text: str, language: str) -> Iterator[tuple[str, str]]:
        for match in STRAY_TAG.finditer(text):
            if self._known(match[1].lower()) is not None:
                raise ValueError(f"{match[0]} opens a span that no second {match[0]} closes")
        if text.strip():
            yield text, self.read_as(language)

    def _known(self, language: str) -> str | None:
        """The name under which `language` is read, None if it is not."""
        for name in (language.lower(), re.split("[-_]", language.lower())[0]):
            if name in LANGUAGES or name in self.languages:
                return name
        return None

    def _ipa(self, text: str, language: str) -> str:
        if language in LANGUAGES:
            ipa = LANGUAGES[language](text, self.mend).rstrip()
        else:
            ipa = "".join(espeak_symbols([text], language)[0])
        return re.sub(r"(?<=[^.,!?\-…~])\Z", ".", ipa)


def published_symbols() -> list[str]:
    """The table of the published model: five special tokens, then symbols in code-point order."""
    symbols: list[str] = read_json(Path(str(files("revoice.text") / "vallex_symbols.json")))
    return symbols
