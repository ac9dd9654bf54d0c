"""Who says what when, from the subtitles or labels that lie beside a recording.

SubRip and WebVTT are read by pysubs2, TextGrids by praatio, label tracks of Audacity here.
"""

import codecs
import html
import os
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import islice, takewhile
from pathlib import Path
from typing import NamedTuple

from praatio.utilities.errors import PraatioException
from praatio.utilities.textgrid_io import parseTextgridStr
from pysubs2 import Pysubs2Error, SSAFile

from revoice.corpus.naming import LANGUAGE

SUFFIXES = (".srt", ".vtt", ".TextGrid", ".txt")  # in the order of preference
LARGEST = 64 << 20  # bytes: a day's words and their times take less
HEAD = 1 << 16  # bytes in which a label track shows what it is
AT_ONCE = 0.1  # seconds after which a caption is not the one before that stays on the screen
ROWS = 9  # of a caption that may stay on the screen
OVERLAP = 0.1  # seconds that two lines may share: times are not exact
BEYOND = 0.5  # seconds that a line may end after the recording

TAG = re.compile(LANGUAGE, re.IGNORECASE)
LABEL = re.compile(r"(-?\d+(?:\.\d+)?)\t(-?\d+(?:\.\d+)?)(?:\t(.*))?$")
KARAOKE = re.compile(r"<[\d:.,]+>")
VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s([^<>]*)>")
MARKUP = re.compile(r"<rt>[^<]*</rt>|</?[a-z][^<>]*>|\{\\[^{}]*\}", re.IGNORECASE)
INVISIBLE = re.compile(r"[\u200b\u200e\u200f\u202a-\u202e\u2060\ufeff]")
SOUNDS = re.compile(
    r" ?(?:\[[^\[\]]*\]|\([^()]*\)|（[^（）]*）|［[^［］]*］|【[^【】]*】|[♩-♬]+[^♩-♬]*[♩-♬]*)"
)
TURN = re.compile(r"[-‐-—]+(?: |(?![\d\s]))|>+ ?|: ?")  # "- ", ">>", or ":" after [a name]
SENTENCE = re.compile(r"[.!?…。！？．｡؟۔।][\"'”’»›)\]）］」』】〉》]*$")
# Strings and numbers that stand free: Praat itself reads nothing else of a TextGrid.
FREE = re.compile(r'"[^"]*+(?:""[^"]*+)*+"|(?<!\S)-?\d[\d.eE+-]*+(?!\S)')


class Line(NamedTuple):
    """What is said in a span of a recording, in seconds, and by whom if the file says it."""

    begin: float
    end: float
    text: str
    speaker: str = ""


def subtitles_beside(recording: Path) -> Path | None:
    """The file with what is said in `recording`, None where there is none.

    Its name is the recording's with one of `SUFFIXES`, large letters or small, or with a language
    before that, as youtube-dl writes it. A .txt counts where it is a label track. What has another
    recording's name does not: lecture.two.srt beside lecture.two.mp3.

    Raises:
        ValueError: there are several languages of a kind, and none is named as the original.
    """
    stem = recording.stem
    listed = _names(recording.parent, recording.parent.stat().st_mtime_ns)
    first = bisect_left(listed, f"{stem}.")
    names = list(takewhile(lambda name: name.startswith(f"{stem}."), islice(listed, first, None)))
    others = {Path(name).stem for name in names if Path(name).suffix == recording.suffix}
    paths = [
        recording.with_name(name)
        for name in names
        if _is_named(Path(name).stem, stem) and Path(name).stem not in others - {stem}
    ]
    for suffix in SUFFIXES:
        found = [path for path in paths if path.suffix.lower() == suffix.lower() and path.is_file()]
        if suffix == ".txt":
            found = [path for path in found if is_labels(path)]
        plain = [path for path in found if path.stem == stem]
        original = [path for path in found if path.stem.endswith("-orig")]
        if len(best := plain[:1] or original or found) > 1:
            raise ValueError(
                f"{recording} has {', '.join(path.name for path in best)}: "
                f"rename the one in the language that is spoken {stem}{suffix}"
            )
        if best:
            return best[0]
    return None


@lru_cache(maxsize=8)
def _names(folder: Path, changed: int) -> list[str]:
    """What is in a folder, sorted; listed once, and again when the folder has changed."""
    return sorted(os.listdir(folder))


def _is_named(name: str, stem: str) -> bool:
    """Whether a name without suffix is a recording's, or that and a language."""
    return name == stem or bool(TAG.fullmatch(name.removeprefix(f"{stem}.")))


def is_labels(path: Path) -> bool:
    """Whether a .txt is a label track of Audacity: its first line has begin, end and text."""
    with open(path, "rb") as file:
        text = _decoded(file.read(HEAD), "ignore")
    rows = (row for row in text.split("\n") if row.strip() and not row.startswith("\\"))
    return bool(LABEL.match(next(rows, "")))


def read_subtitles(path: Path) -> list[Line]:
    """Lines of a file of one of `SUFFIXES`, sorted by time; texts are in one row, without markup.

    A line in which nothing is said (music, laughter) is left out, so it may be []. The speaker is
    WebVTT's voice ("A, B" where a caption has several), or the name of a TextGrid's tier if more
    than one has intervals.

    Raises:
        ValueError: it is too large, not UTF-8 or UTF-16, has no times, or is damaged.
    """
    if path.suffix.lower() not in READERS:
        raise ValueError(f"{path} is none of {', '.join(SUFFIXES)}: save it as one of them")
    read, form = READERS[path.suffix.lower()]
    text = _read_text(path)
    try:
        lines = read(text)
    except (ValueError, LookupError, Pysubs2Error, PraatioException) as error:
        why = str(error) or type(error).__name__
        raise ValueError(
            f"{path} is damaged ({why}): write it again. It should have {form}"
        ) from error
    if not lines:
        raise ValueError(f"{path} has no line with times. It should have {form}")
    lines.sort(key=lambda line: (line.begin, line.end))
    if read is _of_captions:
        return _unrolled(lines)
    plain = (line._replace(text=" ".join(_rows(line.text))) for line in lines)
    return [line for line in plain if line.text]


def sentences(lines: Sequence[Line], longest: float = 15.0, near: float = 0.3) -> list[Line]:
    """Lines sorted by time, with those joined that break a sentence of the same speaker.

    Two are joined where the first does not end as a sentence does, at most `near` seconds are
    between them, and together they are no longer than `longest` seconds.
    """
    joined: list[Line] = []
    for line in lines:
        together = round(line.end - joined[-1].begin, 3) if joined else 0  # to the millisecond
        if joined and _goes_on(joined[-1], line, near) and together <= longest:
            before = joined.pop()
            line = line._replace(begin=before.begin, text=f"{before.text} {line.text}")
        joined.append(line)
    return joined


def within(lines: Sequence[Line], seconds: float) -> tuple[list[Line], list[tuple[Line, str]]]:
    """Lines that lie in a recording of so many seconds, and the others, each with the reason.

    Both are sorted by time. An end that is beyond the recording's by at most 0.5 s is clipped. Of
    lines that overlap by more than 0.1 s all are left out, as nobody can tell whose voice is
    heard; a smaller overlap is cut in its middle. Lines whose times are wrong overlap no other.
    """
    kept: list[Line] = []
    wrong: list[tuple[Line, str]] = []
    for line in sorted(lines, key=lambda line: (line.begin, line.end)):
        if why := _misplaced(line, seconds):
            wrong.append((line, why))
        else:
            kept.append(line._replace(end=min(line.end, seconds)))
    cut, several = list(kept), dict[int, str]()
    last = 0  # the one that ends last so far
    for number in range(1, len(kept)):
        before, line = cut[last], cut[number]
        if round(before.end - line.begin, 3) > OVERLAP:
            several[number] = "overlaps the line before: several speak at once?"
            several.setdefault(last, "overlaps the line after: several speak at once?")
        elif before.end > line.begin:
            middle = (line.begin + min(before.end, line.end)) / 2
            cut[last], cut[number] = before._replace(end=middle), line._replace(begin=middle)
        if cut[number].end >= cut[last].end:
            last = number
    wrong += [(kept[number], why) for number, why in several.items()]
    return [line for i, line in enumerate(cut) if i not in several], sorted(wrong)


def _misplaced(line: Line, seconds: float) -> str:
    """Why a line cannot lie in a recording of so many seconds; "" if it can."""
    times = f"its times, {line.begin:.1f} to {line.end:.1f} s, are"
    if line.end <= line.begin:
        return f"its end, {line.end:.1f} s, is not after its begin, {line.begin:.1f} s"
    if line.begin < 0:
        return f"{times} before the recording's begin"
    if round(line.end - seconds, 3) > BEYOND or line.begin >= seconds:
        return f"{times} beyond the recording's end, {seconds:.1f} s"
    return ""


def _goes_on(before: Line, line: Line, near: float) -> bool:
    """Whether a line may go on with the sentence of the one before."""
    near_enough = -OVERLAP <= round(line.begin - before.end, 3) <= near
    return near_enough and before.speaker == line.speaker and not SENTENCE.search(before.text)


def _read_text(path: Path) -> str:
    with open(path, "rb") as file:
        raw = file.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise ValueError(f"{path} has more than {LARGEST >> 20} MiB: part it, or take it away")
    try:
        text = _decoded(raw)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 or UTF-16 ({error}): save it as UTF-8") from None
    if "\0" in text:
        raise ValueError(f"{path} has null bytes: save it as UTF-8")
    return text


def _decoded(raw: bytes, errors: str = "strict") -> str:
    """UTF-16 if it begins with that mark, else UTF-8; rows end with a line feed."""
    marked = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = raw.decode("utf-16" if marked else "utf-8-sig", errors)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _of_captions(text: str) -> list[Line]:
    """Captions of SubRip or WebVTT, with markup: people give both either suffix."""
    # pysubs2 takes two times in a row for a caption's, and needs long for many empty rows.
    text = re.sub(r"\n{3,}", "\n\n", KARAOKE.sub("", text))
    vtt = text.lstrip().startswith("WEBVTT")
    blocks = _cues(text) if vtt else [text]
    # It takes a number at the end for the next caption's: so one follows that is none of a text.
    numbered = "".join(f"{block}\n\n0\n" for block in blocks)
    found = SSAFile.from_string(numbered, "vtt" if vtt else "srt", keep_html_tags=True)
    return [
        Line(one.start / 1000, one.end / 1000, one.text.replace(r"\N", "\n"), _voices(one.text))
        for one in found
    ]


def _cues(text: str) -> list[str]:
    """Blocks of WebVTT from the row with times on, without comments, styles and names of cues."""
    blocks = ((block, block.partition("-->")) for block in text.split("\n\n"))
    return [block[times.rfind("\n") + 1 :] for block, (times, arrow, _) in blocks if arrow]


def _voices(text: str) -> str:
    """Names of those who speak in a caption of WebVTT, each once."""
    names = (" ".join(html.unescape(name).split()) for name in VOICE.findall(text))
    return ", ".join(dict.fromkeys(filter(None, names)))


def _of_textgrid(text: str) -> list[Line]:
    """Intervals of all tiers.

    praatio's reading of the long form stops at 1e-05 and at texts with brackets, and its time is
    the square of a damaged file's length: it gets what counts in the short form.
    """
    free = FREE.findall(text)
    if free[1:2] != ['"TextGrid"']:
        raise ValueError("it does not begin as a TextGrid")
    rows = [one if one[0] == '"' else f"{float(one):.9f}" for one in free[2:]]
    short = "\n".join(['File type = "ooTextFile short"', '"TextGrid"', "", *rows, ""])
    tiers = parseTextgridStr(short, includeEmptyIntervals=True)["tiers"]
    at = 5  # where a tier's class, name, begin, end and size are
    for tier in tiers:  # praatio ends a tier where it cannot read on
        if len(tier["entries"]) != float(free[at + 4]):
            raise ValueError(f"tier {tier['name']} has not as many entries as it says")
        at += 5 + sum(map(len, tier["entries"]))
    if len(tiers) != float(free[4]):
        raise ValueError("it has not as many tiers as it says")
    spans = [tier for tier in tiers if tier["class"] == "IntervalTier"]
    return [
        Line(float(begin), float(end), label, tier["name"] if len(spans) > 1 else "")
        for tier in spans
        for begin, end, label in tier["entries"]
    ]


def _of_labels(text: str) -> list[Line]:
    """Labels of Audacity; rows that begin with a backslash say what frequencies a label has."""
    lines = []
    for number, row in enumerate(text.split("\n"), 1):
        if row.strip() and not row.startswith("\\"):
            if not (label := LABEL.match(row)):
                raise ValueError(f"line {number} has no times")
            lines.append(Line(float(label[1]), float(label[2]), label[3] or ""))
    return lines


# What reads a file by its suffix, and what it should look like.
READERS: dict[str, tuple[Callable[[str], list[Line]], str]] = {
    ".srt": (_of_captions, "00:00:01,000 --> 00:00:02,500 above each text"),
    ".vtt": (_of_captions, "WEBVTT in its first line, 00:00:01.000 --> 00:00:02.500 above a text"),
    ".textgrid": (_of_textgrid, "tiers of intervals, as Praat writes text files"),
    ".txt": (_of_labels, "begin, end and text in a line, separated by tabs, as Audacity writes it"),
}


def _unrolled(lines: Iterable[Line]) -> list[Line]:
    """Captions in plain text, without the rows that the one before has left on the screen."""
    found: list[Line] = []
    shown: list[str] = []
    before = Line(0, 0, "")
    for line in lines:
        rows = _rows(line.text)
        if line.begin - before.end > AT_ONCE or line.speaker != before.speaker:
            shown = []  # it is said again
        most = min(len(rows), ROWS)
        known = next((n for n in range(most, 0, -1) if shown[-n:] == rows[:n]), 0)
        if rows[known:]:
            found.append(line._replace(text=" ".join(rows[known:])))
        elif rows and not SOUNDS.search(line.text):  # no music goes on below it
            found[-1] = found[-1]._replace(end=max(found[-1].end, line.end))
        shown, before = rows, line
    return found


def _rows(text: str) -> list[str]:
    """What is spoken in each row of a text, without rows in which nothing is."""
    text = INVISIBLE.sub("", html.unescape(MARKUP.sub("", text)))
    text = "\n".join(" ".join(row.split()) for row in text.split("\n"))
    rows = (row.strip() for row in SOUNDS.sub("", text).split("\n"))
    turns = (row[turn.end() :] if (turn := TURN.match(row)) else row for row in rows)
    return [row for row in turns if any(map(str.isalnum, row))]
