"""Where sentences end: by their marks; pysbd says which full stops are those of abbreviations."""

import functools
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from revoice.speaking.languages import base, script

AT_ONCE = 1000  # characters that pysbd gets: its time is the square of them

WIDE_MARKS = "。！？｡．؟۔।॥።፧။།։⁇⁈⁉‼"  # no space has to follow them
MARKS = f".!?…{WIDE_MARKS}"
CLOSING = "\"'”’»›)]}）］」』】〉》“‘«‹"  # the last four close in German and Danish
CLOSING_WIDE = "”’）］」』】〉》)]"
OPENING = "\"'“‘„‚«‹»›([{（［「『【〈《¿¡—–-"
WIDE = frozenset(("Hani", "Kana"))

# French has a space before », and Greek asks with what looks like a semicolon.
END = re.compile(
    rf"(?:(?:[{MARKS}]|(?<=[\u0370-\u03ff\u1f00-\u1fff]);)++"
    rf"(?:[{re.escape(CLOSING)}]|\s?»(?!\w))*+)++"
)
GOES_ON = re.compile(rf"(\s*)[\s{re.escape(OPENING)}]*(.?)", re.DOTALL)
BULLET = re.compile(r"^(?:[-–—*•·▪◦‣]|\d{1,3}[.)])(?=\s)", re.MULTILINE)
LINE_BREAK = re.compile(r"\n(?=.)")
# A name follows these in any language.
TITLES = frozenset(
    "dr dra prof mr mrs ms mme mlle mgr st ste sr sra srta sig hr rev gen col capt lt sgt".split()
)
LONGEST_SHORT = 4  # letters of an abbreviation
INITIAL = re.compile(r"\b[^\W\d_]\.")
LAST_WORD = re.compile(r"(?:^|\W)(\w+)$")
# pysbd looks for the partners of quotes and brackets, and does not look into them.
QUOTES = re.compile(r"[\"“”„‟«»‹›()\[\]{}（）「」『』]|(?<!\w)['’‘‚]|['’](?!\w)|\s")


def sentences(text: str, languages: Sequence[str]) -> list[tuple[int, int]]:
    """Begin and end of each sentence of a paragraph, without the spaces around it.

    Args:
        text: one paragraph. A line that ends in a mark, or before a list's bullet, ends a sentence;
            another goes on in the next one.
        languages: that of each character, about.

    Closing quotes stay with their sentence. A mark ends none where a small letter follows in the
    same line, or where what is quoted is part of a sentence: 「はい。」と言った。
    """
    ends = sorted({*_ends(text, languages), *_line_ends(text), len(text)})
    found, start = [], 0
    for end in ends:
        part = text[start:end]
        if part.strip():
            begin = start + len(part) - len(part.lstrip())
            found.append((begin, start + len(part.rstrip())))
        start = end
    return found


def _line_ends(text: str) -> Iterator[int]:
    """Ends of lines after which a list's next item comes, or what a colon announces."""
    starts = _bullets(text)
    for line in LINE_BREAK.finditer(text):
        if line.end() in starts or text[line.start() - 1] in ":：":
            yield line.end()


def _bullets(text: str) -> dict[int, int]:
    """Begin and end of bullets and numbers of a list; one number alone is a line's first word."""
    found = list(BULLET.finditer(text))
    numbers = sum(bullet[0][0].isdigit() for bullet in found)
    return {
        each.start(): each.end()
        for each in found
        if numbers > 1 or not each.start() or not each[0][0].isdigit()
    }


def _ends(text: str, languages: Sequence[str]) -> list[int]:
    """Where marks end sentences."""
    numbers = set(_bullets(text).values())
    cased, whole = any(map(str.isupper, text)), len(text.rstrip())
    sure: list[int] = []
    unsure: list[tuple[int, int, str]] = []  # after the stop, after what closes, language
    breaks: list[int] = []  # that are right, whatever is before them
    start = 0
    for mark in END.finditer(text):
        end = mark.end()
        if any(sign in WIDE_MARKS for sign in mark[0]):
            end = _wide_end(text, start, mark)
            ends = _ends_wide(text, mark, end, cased)
        else:
            ends = _ends_narrow(text, mark, cased)
        if not ends or end in numbers:
            continue
        if mark[0].rstrip(CLOSING + " \n") == ".":
            word, language = _last_word(text, mark.start()), base(languages[mark.start()])
            numbered = word.isalpha() and text[end : end + 2].strip().isdigit()  # vol. 2
            if word in TITLES or (numbered and len(word) < LONGEST_SHORT):
                continue
            if end < whole and _pysbd(language):
                unsure.append((mark.start() + 1, end, language))
                breaks += [end] * (len(word) > LONGEST_SHORT)
                continue
            if INITIAL.match(text, mark.start() - 1):
                continue
        sure.append(end)
        breaks.append(end)
        start = end
    for language in {language for *_, language in unsure}:
        agreed = _agreed(text, language, breaks)
        sure += [end for at, end, of in unsure if of == language and at in agreed]
    return sure


def _wide_end(text: str, start: int, mark: re.Match[str]) -> int:
    """The end of a mark with what closes; a straight quote or “ after it may open instead."""
    end = mark.start() + len(mark[0].rstrip(CLOSING + " \n"))
    while end < mark.end():
        straight = text[end] == '"' and text.count('"', start, end) % 2
        if text[end] not in CLOSING_WIDE and not straight:
            break
        end += 1
    return end


def _ends_wide(text: str, mark: re.Match[str], end: int, cased: bool) -> bool:
    before, after = text[mark.start() - 1 : mark.start()], text[end : end + 1]
    if text[end - 1] not in MARKS:
        return not after.isalnum()
    if before.isdigit() and after.isdigit():  # ３．１４
        return False
    space, following = _following(text, end)
    return not (space and cased and following.islower())


def _ends_narrow(text: str, mark: re.Match[str], cased: bool) -> bool:
    end = mark.end()
    space, following = _following(text, end)
    if space or end == len(text):
        return "\n" in space or not cased or not following.islower()
    if "…" in mark[0] or ".." in mark[0]:
        return False
    sides = text[mark.start() - 1 : mark.start()] + text[end]  # as on a typewriter, without spaces
    return len(sides) == 2 and all(script(sign) in WIDE for sign in sides)


def _following(text: str, end: int) -> tuple[str, str]:
    """The spaces after a mark, and what comes after them and what opens."""
    found = GOES_ON.match(text, end)
    return (found[1], found[2]) if found else ("", "")


def _last_word(text: str, end: int) -> str:
    found = LAST_WORD.search(text[max(0, end - 12) : end])
    return found[1].lower() if found else ""


@functools.cache
def _pysbd(language: str) -> Any:
    """pysbd's segmenter of a language, None where it has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # of its regular expressions
        import pysbd
        from pysbd.languages import LANGUAGE_CODES
    return pysbd.Segmenter(language, clean=False) if language in LANGUAGE_CODES else None


def _agreed(text: str, language: str, breaks: Sequence[int]) -> set[int]:
    """Where pysbd ends sentences; after all but initials in what it does not give back whole."""
    masked = QUOTES.sub(" ", text)
    found: set[int] = set()
    for start, end in _blocks(len(text), breaks):
        block = masked[start:end]
        places = [at for at, sign in enumerate(block, start) if not sign.isspace()]
        try:
            parts = ["".join(part.split()) for part in _pysbd(language).segment(block)]
        except (re.error, IndexError, ValueError, AttributeError):
            parts = []
        if "".join(parts) != "".join(block.split()):
            found.update(range(start, end + 1))
            found -= {initial.end() for initial in INITIAL.finditer(text, start, end)}
            continue
        count = 0
        for part in filter(None, parts):
            count += len(part)
            found.add(places[count - 1] + 1)
    return found


def _blocks(length: int, breaks: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Parts of a text for pysbd, which end at breaks where they can."""
    start, last = 0, 0
    for at in [*breaks, length]:
        while at - start > AT_ONCE:
            end = last if last > start else start + AT_ONCE
            yield start, end
            start = end
        last = at
    if start < length:
        yield start, length
