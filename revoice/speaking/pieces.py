"""A text to pieces that a model can speak one at a time, with the pauses after them."""

import math
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import NamedTuple

from revoice.speaking.languages import Known, guess, read_tags, script, tell
from revoice.speaking.sentences import CLOSING, MARKS, WIDE_MARKS, sentences

SENTENCE, COLON, COMMA, ELLIPSIS, PARAGRAPH = 0.35, 0.25, 0.15, 0.5, 0.7  # seconds of silence
TOGETHER = 0.5  # of a piece's length, which short sentences may have together
SHORTEST = 20  # that a piece may be asked to be
SPREAD = 0.6, 1.5  # times the even length, which parts of a long sentence may have
# What a sign counts, where it is not one letter: what it takes to say it.
SAID_AS = {"Hani": 3.0, "Kana": 2.0, "Hang": 2.5}

PAUSES = {
    **dict.fromkeys(MARKS, SENTENCE),
    **dict.fromkeys(":;：；", COLON),
    **dict.fromkeys(",，、،—–", COMMA),
    "…": ELLIPSIS,
}
NEW_LINE = re.compile(r"\r\n|[\r\v\x85\u2028]")
NEW_PARAGRAPH = re.compile(r"[\f\u2029]")
UNSEEN = ("Cc", "Cf", "Co", "Cs")  # controls, joiners and byte order marks, private use, surrogates
PARAGRAPHS = re.compile(r"(?:^.*[^\W_].*$\n?)++", re.MULTILINE)  # lines with letters or figures
HAN = r"\u2e80-\u2fdf\u3400-\u9fff\U00020000-\U0003ffff"
CJK = rf"[{HAN}\u3000-\u30ff\uf900-\ufaff\ufe30-\ufe4f\uff01-\uff9f]"  # with its marks
WRAPPED_CJK = re.compile(rf"(?<={CJK})\n(?={CJK})")
CONJUNCTIONS = (
    "and but or because while which when where und oder aber denn weil dass et ou mais car que qui "
    "y o pero porque e ma perché mas и или а но что который en maar of omdat och eller men i ale"
).replace(" ", "|")
_CLOSING = f"[{re.escape(CLOSING)}]*"
# Where a long sentence is cut, the best first; the first three have pauses.
CUTS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"[!?…]+{_CLOSING}\s|[{WIDE_MARKS}]+{_CLOSING}",
        rf"[;:—–]{_CLOSING}\s|[；：]",
        rf",{_CLOSING}\s|[，、،]",
        rf"\s(?=(?:{CONJUNCTIONS})\s)",
        r"\s",
        rf"(?<={CJK})(?=[{HAN}])",
    )
]
WITH_PAUSES = 3


@dataclass(frozen=True)
class Span:
    """Text in one language, named as the model names it."""

    text: str
    language: str


@dataclass(frozen=True)
class Piece:
    """What is spoken at a time; `pause`: seconds of silence after it, 0.0 after the last."""

    spans: tuple[Span, ...]
    pause: float

    @property
    def text(self) -> str:
        """The piece in one row, in all its languages."""
        return "".join(span.text for span in self.spans)


class _Part(NamedTuple):
    """A sentence or a part of one."""

    start: int
    end: int
    pause: float
    closed: bool  # whether its end is heard: it does not run into what follows
    spoken: bool  # whether it has letters or figures


def pieces(
    text: str, languages: Sequence[str], default: str | None = None, length: int = 180
) -> list[Piece]:
    """A text as pieces of whole sentences, in their order; nothing of it is lost or said twice.

    Args:
        text: paragraphs with empty lines between them; may have tags, see `read_tags`. A line
            without letters and figures, "***", is as an empty one.
        languages: those that the model knows. If it is one, everything is in it.
        default: the language of what nothing tells apart, the first by default. Where it is given,
            all that is in its script is in it, without detection; other scripts and tags change
            the language. See `tell`.
        length: about what a piece may have in letters. Han counts as 3, kana as 2, Hangul as 2.5.

    Short sentences that follow each other in a paragraph and a language share a piece of at most
    half the length. A sentence that is too long is cut evenly: after marks, colons or commas,
    before conjunctions, at spaces, or anywhere. Spaces are one each, control characters and joiners
    are left out, letters are composed (NFC). Signs that are alone in a line with something to say
    go with the sentence before them.

    Raises ValueError if there is nothing to say, a tag is wrong, or letters are in a script that
    no language, or not the tag's, is written in.
    """
    if length < SHORTEST:
        raise ValueError(f"pieces of {length} characters are too short: give {SHORTEST} or more")
    known = Known(tuple(languages), default)
    text, labels = read_tags(_clean(text), known)
    paragraphs = [
        _sentences(text, labels, paragraph.start(), paragraph.end(), known)
        for paragraph in PARAGRAPHS.finditer(text)
    ]
    if not paragraphs:
        raise ValueError("the text has nothing to say: it has no letters and no figures")
    told = tell(text, labels, paragraphs, known)
    said = [*accumulate(map(_said_as, text), initial=0.0)]
    found: list[Piece] = []
    for paragraph in paragraphs:
        parts = [part for each in paragraph for part in _parts(text, *each, said, length)]
        joined = _joined(parts, told, said, length)
        found += [Piece(_spans(text, told, part.start, part.end), part.pause) for part in joined]
        found[-1] = Piece(found[-1].spans, PARAGRAPH)
    return [*found[:-1], Piece(found[-1].spans, 0.0)]


def _clean(text: str) -> str:
    """Composed letters, spaces that are one, lines that end in \\n; nothing that is not seen."""
    text = NEW_PARAGRAPH.sub("\n\n", NEW_LINE.sub("\n", text))
    seen = (each for each in text if each in "\n\t" or unicodedata.category(each) not in UNSEEN)
    text = unicodedata.normalize("NFC", "".join(seen))
    return re.sub(r" ?\n ?", "\n", re.sub(r"[^\S\n]+", " ", text))


def _is_said(text: str) -> bool:
    return any(map(str.isalnum, text))


def _said_as(sign: str) -> float:
    return 3.0 if sign.isdigit() else SAID_AS.get(script(sign), 1.0)


def _sentences(
    text: str, labels: Sequence[str | None], start: int, end: int, known: Known
) -> list[tuple[int, int]]:
    """Begin and end of the sentences of a paragraph, as places in the text."""
    paragraph, tagged = text[start:end], labels[start:end]
    untagged = "".join(c for c, label in zip(paragraph, tagged, strict=True) if label is None)
    guessed = guess(untagged, known)
    found = sentences(paragraph, [label or guessed for label in tagged])
    return [(start + begin, start + end) for begin, end in found]


def _parts(text: str, start: int, end: int, said: Sequence[float], length: int) -> Iterator[_Part]:
    """A sentence, or parts of about the same length if it is too long."""
    if said[end] - said[start] > length:
        places = [
            [cut.end() for cut in pattern.finditer(text, start, end) if cut.end() < end]
            for pattern in CUTS
        ]
        while said[end] - said[start] > length:
            at, with_pause = _cut(text, start, end, places, said, length)
            last = start + len(text[start:at].rstrip())
            pause = _pause(text, start, last) * with_pause
            yield _Part(start, last, pause, True, _is_said(text[start:last]))
            start = at + text[at].isspace()
    pause = _pause(text, start, end)
    yield _Part(start, end, pause or SENTENCE, pause >= SENTENCE, _is_said(text[start:end]))


def _cut(
    text: str,
    start: int,
    end: int,
    places: Sequence[Sequence[int]],
    said: Sequence[float],
    length: int,
) -> tuple[int, bool]:
    """Where to cut what is left of a long sentence, and whether there is a pause."""
    left = said[end] - said[start]
    even = left / math.ceil(left / length)
    first = bisect_left(said, said[start] + SPREAD[0] * even)
    last = bisect_right(said, said[start] + min(SPREAD[1] * even, length)) - 1
    best = bisect_left(said, said[start] + even)
    for rank, these in enumerate(places):
        if near := these[bisect_left(these, first) : bisect_right(these, last)]:
            return min(near, key=lambda place: abs(place - best)), rank < WITH_PAUSES
    best = at = min(best, last)
    while at > first and not text[at].isalnum():  # neither accents nor punctuation begin a part
        at -= 1
    return (at if text[at].isalnum() else best), False


def _pause(text: str, start: int, end: int) -> float:
    """Seconds after what ends so; 0.0 where no punctuation ends it."""
    tail = text[max(start, end - 20) : end].rstrip(CLOSING + " \n")
    return ELLIPSIS if tail.endswith("..") else PAUSES.get(tail[-1:], 0.0)


def _joined(
    parts: Sequence[_Part], told: Sequence[str], said: Sequence[float], length: int
) -> list[_Part]:
    """Parts of a paragraph with short ones joined, and those that have nothing to say."""
    found: list[_Part] = []
    for part in parts:
        if found:
            before = found[-1]
            spoken = before.spoken or part.spoken
            short = said[part.end] - said[before.start] <= TOGETHER * length
            alike = before.closed and told[before.end - 1] == told[part.start]
            if not (before.spoken and part.spoken) or (short and alike):
                found[-1] = part._replace(start=before.start, spoken=spoken)
                continue
        found.append(part)
    return found


def _spans(text: str, told: Sequence[str], start: int, end: int) -> tuple[Span, ...]:
    """The languages of a piece; what has nothing to say goes with the span before, or after it."""
    found: list[Span] = []
    runs = groupby(zip(text[start:end], told[start:end], strict=True), key=lambda pair: pair[1])
    for language, pairs in runs:
        run = "".join(sign for sign, _ in pairs)
        run = re.sub(r"\s+", " ", WRAPPED_CJK.sub("", run))
        if found:
            before = found[-1]
            first = language if not _is_said(before.text) else before.language
            if language == first or not _is_said(run):
                found[-1] = Span(before.text + run, first)
                continue
        found.append(Span(run, language))
    return tuple(found)
