"""`labels.tsv`: what people wrote of the segments of a corpus, in the folder of its recordings.

A plain editor or a spreadsheet writes it as well as the page of `revoice.recordings.page` does: a
table in UTF-8 whose cells are separated by tabs, a row to a line. Quotes have no meaning, so that a
text may have them. The first line names the columns, in any order:

- recording: path of the file below the corpus's folder.
- begin, end: seconds.
- status: ok (text, speaker and times count as given) or bad (left out). Without it, all are ok.
- speaker: who speaks; empty as found. It need not be there.
- text: what is said; empty only where the status is bad.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

LABELS = "labels.tsv"
COLUMNS = ("recording", "begin", "end", "status", "speaker", "text")
MISSING = {"status": "ok", "speaker": ""}  # columns that need not be there, and what counts then
OVERLAP = 0.05  # seconds that two rows may share: times are rounded
Status = Literal["ok", "bad"]
STATUSES: dict[str, Status] = {"ok": "ok", "bad": "bad"}


class Label(NamedTuple):
    """A row: a span of a recording in seconds, and what is said there."""

    recording: str
    begin: float
    end: float
    status: Status
    speaker: str
    text: str


def read_labels(path: Path) -> list[Label]:
    """Labels in the order of the file; [] where there is none.

    Raises:
        ValueError: it is not UTF-8, has null bytes, lacks a column or has one that it should not, a
            row has too many or too few cells, a time is no finite number or not after the one
            before it, a status is unknown, a text is empty, or rows of a recording overlap. It
            names the file, the line, the column and the mend.
    """
    numbered = [(line, _label(f"{path}: line {line}", row)) for line, row in _rows(path)]
    _check_overlaps(path, numbered)
    return [label for _, label in numbered]


def label_lines(path: Path) -> dict[str, list[str]]:
    """Lines of each recording, sorted, for digests; {} where there is no file.

    They are as they stand, but their cells are in the order of `COLUMNS`: a line means something
    else when the columns above it change. What `read_labels` refuses is taken as it is.
    """
    if not path.exists():
        return {}
    header, *lines = _split(path.read_bytes().decode("utf-8-sig", "backslashreplace"))
    columns = _cells(header)
    found = defaultdict(list)
    for line in lines:
        if line.strip():
            recording = dict(zip(columns, _cells(line), strict=False)).get("recording", "")
            found[_normal(recording)].append(_in_order(columns, line))
    return {recording: sorted(of_it) for recording, of_it in found.items()}


def _in_order(columns: Sequence[str], line: str) -> str:
    """A line with its cells in the usual order; itself where they are too many or too few."""
    cells = line.split("\t")
    if len(cells) != len(columns):
        return line
    row = dict(zip(columns, cells, strict=True))
    return "\t".join(row.get(column, MISSING.get(column, "")) for column in COLUMNS)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows that are not blank, by column, each with the number of its line."""
    if not path.exists():
        return
    header, *lines = _split(_decoded(path))
    columns = _cells(header)
    _check_columns(path, columns)
    for number, line in enumerate(lines, 2):
        if not line.strip():
            continue
        where, cells = f"{path}: line {number}", _cells(line)
        if "\0" in line:
            column = columns[min(line[: line.index("\0")].count("\t"), len(columns) - 1)]
            raise ValueError(f"{where}: {column} has a null byte: remove it, and save as UTF-8")
        if len(cells) > len(columns):
            raise ValueError(
                f"{where} has {len(cells)} cells, but there are {len(columns)} columns: "
                f"remove the tabs after {columns[-1]}, or those inside a cell"
            )
        if len(cells) < len(columns):
            raise ValueError(
                f"{where} has {len(cells)} cells, and none for {columns[len(cells)]}: separate "
                f"{', '.join(columns)} by one tab each, also where a cell is empty"
            )
        yield number, dict(zip(columns, cells, strict=True))


def _decoded(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len(_split(data[: error.start].decode("utf-8-sig", "replace")))
        raise ValueError(
            f"{path}: line {line} is not UTF-8 ({error.reason}): save it as UTF-8"
        ) from None


def _split(text: str) -> list[str]:
    """Lines as editors and spreadsheets end them; other breaks may stand in a text."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("\t")]


def _normal(recording: str) -> str:
    """A path as the pipeline writes it, without a dot or a slash too many."""
    return PurePosixPath(recording).as_posix() if recording else ""


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    where, usual = f"{path}: line 1", ", ".join(COLUMNS)
    if missing := [c for c in COLUMNS if c not in columns and c not in MISSING]:
        raise ValueError(
            f"{where} names no column {' and '.join(missing)}: it names the columns, separated by "
            f"tabs, which are {usual}"
        )
    for column in columns:
        if column not in COLUMNS:
            raise ValueError(f"{where}: unknown column {column!r}: remove it; there are {usual}")
        if columns.count(column) > 1:
            raise ValueError(f"{where}: column {column} is there twice: remove one")


def _label(where: str, row: dict[str, str]) -> Label:
    row = MISSING | row
    if not row["recording"]:
        raise ValueError(f"{where}: recording is empty: name the file, below the corpus's folder")
    begin, end = (_seconds(where, column, row[column]) for column in ("begin", "end"))
    if end <= begin:
        raise ValueError(
            f"{where}: end {row['end']} is not after begin {row['begin']}: change one of them"
        )
    status = STATUSES.get(row["status"])
    if status is None:
        raise ValueError(f"{where}: unknown status {row['status']!r}: write ok or bad")
    if status == "ok" and not row["text"]:
        raise ValueError(f"{where}: text is empty: write what is said, or make its status bad")
    return Label(_normal(row["recording"]), begin, end, status, row["speaker"], row["text"])


def _seconds(where: str, column: str, cell: str) -> float:
    try:
        seconds = float(cell)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{where}: {column} is {cell!r}: write seconds as in 12.5")
    return seconds


def _check_overlaps(path: Path, numbered: Sequence[tuple[int, Label]]) -> None:
    longest: dict[str, tuple[int, Label]] = {}  # of a recording, what reaches the furthest so far
    for line, label in sorted(numbered, key=lambda one: one[1].begin):
        number, before = longest.setdefault(label.recording, (line, label))
        shared = min(before.end, label.end) - label.begin
        if before is not label and shared > OVERLAP + 1e-9:
            raise ValueError(
                f"{path}: line {line}: begin {label.begin:g} is before end {before.end:g} of line "
                f"{number}, in the same recording: change one of them, or remove a row"
            )
        if label.end > before.end:
            longest[label.recording] = line, label
