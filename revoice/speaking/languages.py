"""Which language each span of a text is in: tags say it, then scripts, then a detector."""

import functools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fontTools import unicodedata as scripts

LEAST = 20  # letters that the detector needs to be right
QUOTED = 40  # characters of a text in a message

TAG = re.compile(r"\[(/?)([A-Z]{2,3}(?:[-_][A-Za-z]{2,4})?)\]")
# Languages that a tag may name: ISO 639-1, then those of eSpeak NG that it lacks.
CODES = frozenset(
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy "
    "da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu "
    "hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb "
    "lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om "
    "or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw "
    "ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu "
    "bpy chr cmn grc hak haw hyw jbo kaa kok lfn ltg mto nci nog pap qdb quc qya shn sjn smj xex "
    "yue".split()
)
# Languages by script (ISO 15924); what is in no row is written in Latin letters.
WRITTEN = {
    "Arab": "ar fa ku ps sd ug ur",
    "Armn": "hy hyw",
    "Beng": "as bn bpy",
    "Cher": "chr",
    "Cyrl": "ab av az ba be bg ce cv kk kv ky mk mn nog os ru sr tg tt uk uz",
    "Deva": "hi kok mr ne sa",
    "Ethi": "am ti",
    "Geor": "ka",
    "Grek": "el grc",
    "Gujr": "gu",
    "Guru": "pa",
    "Hang": "ko",
    "Hani": "cmn hak ja wuu yue zh",
    "Hebr": "he yi",
    "Kana": "ja",
    "Khmr": "km",
    "Knda": "kn",
    "Laoo": "lo",
    "Mlym": "ml",
    "Mymr": "my shn",
    "Orya": "or",
    "Sinh": "si",
    "Taml": "ta",
    "Telu": "te",
    "Thaa": "dv",
    "Thai": "th",
    "Tibt": "bo dz",
}
LATIN_TOO = set("az ku sr uz".split())
NOT_LATIN = {language for row in WRITTEN.values() for language in row.split()} - LATIN_TOO
USUAL = {"cmn": "zh", "hyw": "hy", "nb": "no"}  # codes that the detector has in place of others
NO_SCRIPT = {"Zyyy": "", "Zinh": "", "Zzzz": "", "Hira": "Kana", "Bopo": "Hani"}
ROMAN = re.compile(r"M{0,3}(?:C[MD]|D?C{0,3})(?:X[CL]|L?X{0,3})(?:I[XV]|V?I{0,3})")
LATIN_WORD = re.compile(r"[^\W\d_]+")


@functools.lru_cache(maxsize=1 << 16)
def script(sign: str) -> str:
    """The script of a letter, "Latn", "Hani"; "Kana" for both kinds; "" for what is in none."""
    if not sign.isalpha() or sign in "ªº":
        return ""
    found = scripts.script(sign)
    return NO_SCRIPT.get(found, found)


def base(language: str) -> str:
    """`en` of `en_GB`."""
    return re.split("[-_]", language.lower())[0]


def usual(language: str) -> str:
    """The usual code: `zh` of `cmn`."""
    return USUAL.get(base(language), base(language))


@dataclass(frozen=True)
class Known:
    """The languages that a model speaks, and the `default` if one is chosen.

    Raises ValueError if there is none, or the default is none of them.
    """

    languages: tuple[str, ...]
    default: str | None = None

    def __post_init__(self) -> None:
        if not self.languages:
            raise ValueError("no language is given: name at least one that the model speaks")
        if self.default is not None and self.default not in self.languages:
            raise ValueError(
                f"the default language, {self.default}, is none that the model speaks: {self}"
            )

    def __str__(self) -> str:
        return ", ".join(self.languages)

    def named(self, code: str) -> str | None:
        """The language of a tag: EN is `en`, or the first with a region; ZH may be `cmn`."""
        code = code.lower().replace("_", "-")
        exact = [each for each in self.languages if each.lower().replace("_", "-") == code]
        near = [each for each in self.languages if code in (base(each), usual(each))]
        return next(iter(exact + near), None)

    def written(self, script: str) -> list[str]:
        """Those that are written in a script."""
        if script == "Latn":
            return [each for each in self.languages if base(each) not in NOT_LATIN]
        return [each for each in self.languages if base(each) in WRITTEN.get(script, "").split()]

    def choose(self, script: str, text: str) -> str | None:
        """The language of a text, whose letters are of one script; None if nothing tells it."""
        found = self.written(script)
        if self.default in found:
            return self.default
        if script == "Hani":  # Japanese would have kana
            found = [each for each in found if base(each) != "ja"] or found
        if len(found) < 2:
            return next(iter(found), None)
        return detect(text, found) if sum(map(str.isalpha, text)) >= LEAST else None

    def otherwise(self, script: str) -> str:
        """The language of what nothing tells apart: the default, else the first so written."""
        first = self.default or self.languages[0]
        found = self.written(script)
        return first if first in found or not found else found[0]


@functools.cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)


def detect(text: str, languages: Sequence[str]) -> str | None:
    """The likeliest of the languages; None if the detector, py3langid, knows none of them."""
    scores = dict(_identifier().rank(text))
    able = [each for each in languages if usual(each) in scores]
    return max(able, key=lambda each: scores[usual(each)], default=None)


def guess(text: str, known: Known) -> str:
    """The language of most of a text."""
    counted = Counter(filter(None, map(script, text)))
    for most, _ in counted.most_common(1):
        return known.choose(most, text) or known.otherwise(most)
    return known.otherwise("")


def where(text: str, at: int) -> str:
    """A place in a text, for a message: its line, and how it goes on."""
    quoted = " ".join(text[at : at + QUOTED].split())
    return f"line {text.count(chr(10), 0, at) + 1} (“{quoted}”)"


def read_tags(text: str, known: Known) -> tuple[str, list[str | None]]:
    """A text without its tags, and for each character the language that they give it, or None.

    A tag, as VALL-E X has them, is a language's code in large letters, and closes as it opens:
    "[ZH]我说[ZH][EN]good morning[EN]". Brackets with what is no code, "[OK]", are text.

    Raises ValueError for a tag that is not closed, is within another, or of an unknown language.
    """
    plain: list[str] = []
    labels: list[str | None] = []
    opened: re.Match[str] | None = None
    end = 0

    def add(part: str) -> None:
        language = known.named(opened[2]) if opened and any(map(str.isalnum, part)) else None
        if plain and part[:1].isalnum() and re.search(r"[.!?…]\W*$", plain[-1][-9:]):
            part = f" {part}"  # "[EN]Yes.[EN][FR]Oui.[FR]" has two sentences
        if plain and plain[-1][-1].isspace():
            part = part.lstrip(" ")
        if part:
            plain.append(part)
        labels.extend([language] * len(part))

    for tag in TAG.finditer(text):
        if known.named(tag[2]) is None and base(tag[2]) not in CODES:
            continue
        if opened is None or opened[0] != tag[0]:
            _check_tag(text, tag, opened, known)
        add(text[end : tag.start()])
        opened, end = (None if opened else tag), tag.end()
    if opened:
        raise ValueError(_not_closed(text, opened))
    add(text[end:])
    return "".join(plain), labels


def _check_tag(text: str, tag: re.Match[str], opened: re.Match[str] | None, known: Known) -> None:
    """Raise ValueError unless a tag may open a span."""
    place = where(text, tag.start())
    if tag[1]:
        mend = f"A span begins and ends with [{tag[2]}]"
        raise ValueError(f"{tag[0]} in {place} is no tag. {mend}; write it so")
    if opened:
        raise ValueError(f"{_not_closed(text, opened)}. The next tag is {tag[0]} in {place}")
    if known.named(tag[2]) is None:
        if tag[0] not in text[tag.end() :]:
            raise ValueError(_not_closed(text, tag))
        raise ValueError(
            f"{tag[0]} in {place} is the tag of a language that the model does not speak; it "
            f"speaks {known}. Leave the span out, or take its tags away if it is one of these"
        )


def _not_closed(text: str, tag: re.Match[str]) -> str:
    return (
        f"{tag[0]} in {where(text, tag.start())} has no second {tag[0]} that closes its span, or "
        f"opens it. Add one, or write ({tag[2]}) if it is no tag"
    )


def tell(
    text: str,
    labels: Sequence[str | None],
    paragraphs: Sequence[Sequence[tuple[int, int]]],
    known: Known,
) -> list[str]:
    """The language of each character.

    Args:
        text: without tags.
        labels: what the tags say of each character.
        paragraphs: begin and end of each sentence in each of them.

    Within tags Latin letters are of the tag's language, whatever it is: most are read in all. Else
    a language has letters of its scripts alone. Han is Japanese in a sentence with kana, and in
    another where no Chinese is known. Where a script leaves several, the default is chosen if there
    is one and it is written so; otherwise the detector, sentence by sentence. One with less than 20
    letters goes with its paragraph: the sentence before, the one after, all of them together; then
    so with the text. Figures and punctuation go with what is before them in the sentence, else with
    what is after; figures outside tags with what is outside, if anything is; opening quotes and
    brackets with what is after them.

    Raises ValueError for letters in which no known language, or not the tag's, is written.
    """
    told = list(labels)
    places: dict[tuple[str, int], list[int]] = {}  # of a script in a sentence
    sentences = [sentence for paragraph in paragraphs for sentence in paragraph]
    for number, (start, end) in enumerate(sentences):
        for sign, found in _by_script(text, labels, start, end, known).items():
            places[sign, number] = found
    for sign in dict.fromkeys(sign for sign, _ in places):
        of_script = {number: found for (of, number), found in places.items() if of == sign}
        settled = _settled(sign, text, of_script, paragraphs, known)
        for number, found in of_script.items():
            for at in found:
                told[at] = settled[number]
    for start, end in sentences:
        untagged = [at for at in range(start, end) if labels[at] is None]
        beside = _beside([text[at] for at in untagged], [told[at] for at in untagged])
        for at, language in zip(untagged, beside, strict=True):
            told[at] = language if text[at].isalnum() else told[at]
        told[start:end] = _beside(text[start:end], told[start:end])
    of_ends = [_filled([told[end - 1] for _, end in paragraph]) for paragraph in paragraphs]
    nearest = _filled([language for paragraph in of_ends for language in paragraph])
    for (start, end), language in zip(sentences, nearest, strict=True):
        if told[start] is None:
            told[start:end] = [language] * (end - start)
    told = _filled(told)  # spaces between sentences
    return [language or known.otherwise("") for language in told]


def _by_script(
    text: str, labels: Sequence[str | None], start: int, end: int, known: Known
) -> dict[str, list[int]]:
    """Where the untagged letters of each script are in a sentence."""
    found: dict[str, list[int]] = defaultdict(list)
    for at in range(start, end):
        if not (sign := script(text[at])):
            continue
        if (language := labels[at]) is None:
            found[sign].append(at)
        elif sign != "Latn" and language not in known.written(sign):
            raise ValueError(
                f"{where(text, at)} is between the tags of {language}, which is not written in "
                f"{_script_name(sign)} letters. Set the tags of its language"
            )
    if "Kana" in found and "Hani" in found:
        found["Kana"] = sorted(found["Kana"] + found.pop("Hani"))
    for sign in list(found):
        if not known.written(sign):
            strange = found.pop(sign)
            if sign != "Latn" or not found or not _are_numerals(text, strange):
                _refuse(text, strange[0], sign, known)
    return found


def _are_numerals(text: str, places: Sequence[int]) -> bool:
    """Whether Latin letters are Roman numerals, as Cyrillic texts have them for centuries."""
    words = LATIN_WORD.finditer(text, places[0], places[-1] + 1)
    return all(ROMAN.fullmatch(word[0]) for word in words if script(word[0][0]) == "Latn")


def _refuse(text: str, at: int, sign: str, known: Known) -> None:
    mend = "Write it in their letters, or leave it out"
    if sign == "Latn":
        tag = f"[{base(known.default or known.languages[0]).upper()}]"
        mend += f", or write {tag} before and after it to have it read in that language"
    raise ValueError(
        f"{where(text, at)} is in {_script_name(sign)} letters, but no language that the model "
        f"speaks ({known}) is written in them. {mend}"
    )


def _script_name(sign: str) -> str:
    return "kana" if sign == "Kana" else str(scripts.script_name(sign))


def _settled(
    sign: str,
    text: str,
    places: dict[int, list[int]],
    paragraphs: Iterable[Sequence[tuple[int, int]]],
    known: Known,
) -> dict[int, str]:
    """The language of each sentence's letters of a script."""
    said = {number: _words(text, sign, found) for number, found in places.items()}
    found = {number: known.choose(sign, words) for number, words in said.items()}
    scopes, first = [], 0
    for paragraph in paragraphs:
        scopes.append([n for n in range(first, first + len(paragraph)) if n in said])
        first += len(paragraph)
    for scope in [*scopes, list(said)]:
        filled = _filled([found[number] for number in scope])
        if scope and filled[0] is None:
            filled = [known.choose(sign, " ".join(said[n] for n in scope))] * len(scope)
        found.update(zip(scope, filled, strict=True))
    return {number: language or known.otherwise(sign) for number, language in found.items()}


def _words(text: str, sign: str, places: Sequence[int]) -> str:
    """What a sentence has in a script, and a space for what it has in others."""
    own, span = set(places), range(places[0], places[-1] + 1)
    return "".join(text[at] if at in own or not script(text[at]) else " " for at in span)


def _beside(signs: Sequence[str], labels: Sequence[str | None]) -> list[str | None]:
    """Labels of a sentence, also for what is beside letters; all None if it has none."""
    found, before = list(labels), None
    for at, sign in enumerate(signs):
        opens = sign in "¿¡" or unicodedata.category(sign) in ("Ps", "Pi")
        if found[at] is None and not opens:
            found[at] = before
        before = found[at] or before
    return _filled(found[::-1])[::-1]


def _filled(values: Sequence[str | None]) -> list[str | None]:
    """Values with each None made the one before it, and the first ones the one after them."""
    found = list(values)
    for order in (range(len(found)), reversed(range(len(found)))):
        last = None
        for at in order:
            last = found[at] = found[at] or last
    return found
