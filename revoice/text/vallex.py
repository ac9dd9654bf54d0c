"""The front end of VALL-E X: tagged text to IPA, and IPA to the ids of its 70 symbols."""

import re
from collections.abc import Iterable, Iterator, Sequence

import tokenizers
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Whitespace

from revoice.files import PACKAGE, read_json
from revoice.text.english import english_to_ipa
from revoice.text.espeak import all_symbols, espeak_symbols
from revoice.text.japanese import japanese_to_ipa
from revoice.text.mandarin import mandarin_to_ipa
from revoice.text.tokens import SymbolTable, Tokens

LANGUAGES = {"en": english_to_ipa, "zh": mandarin_to_ipa, "ja": japanese_to_ipa}
UNKNOWN = "[UNK]"
TAG = re.compile(r"\[([A-Z]{2,3})\](.*?)\[\1\]", re.DOTALL)
STRAY_TAG = re.compile(r"\[([A-Z]{2,3})\]")


class VallexTokenizer(SymbolTable):
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
    options = ("mend", "languages")
    pad = 3
    unknown = 0
    separator: tuple[int, ...] = ()  # ids between two texts that are joined

    def __init__(
        self,
        mend: bool = False,
        symbols: Sequence[str] | None = None,
        languages: Sequence[str] = (),
    ) -> None:
        # five special tokens, then symbols in code-point order
        published: list[str] = read_json(PACKAGE / "text/vallex_symbols.json")
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

    def __call__(self, text: str, language: str) -> Tokens:
        """The tokens of a text, plain or with spans: "[ZH]我说[ZH][EN]good morning[EN]".

        `language` is that of everything outside tags: en, zh, ja, with or without a region
        (`en_GB`), or one of `languages`. Raises ValueError for a language that this tokenizer does
        not read, and a tag that is not closed.
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
        """The name under which a language is read, `en` for `en_GB`; ValueError where it is not."""
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
        names: set[str] = set()

        def new() -> Iterator[tuple[str, str]]:
            for text, name in texts:
                if self._known(name) not in LANGUAGES:
                    names.add(name.lower())
                    yield text, name.lower()

        signs = {sign for symbol in all_symbols(new()) for sign in symbol}
        symbols = [*self.symbols, *sorted(signs - set(self.symbols))]
        languages = tuple(dict.fromkeys([*self.languages, *sorted(names)]))
        return VallexTokenizer(self.mend, symbols, languages)

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
