"""A corpus given as a table of its files."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path


def read_table(path: str) -> list[dict[str, str]]:
    """Rows of a CSV or TSV with the columns path, text, speaker, language.

    Only path and text must be there; a cell that is not is "".

    Raises:
        ValueError: a column is missing or there twice, a path is missing or there twice, a row has
            more cells than there are columns, a quote is left open, or it is not UTF-8.
    """
    rows: dict[str, dict[str, str]] = {}
    for line, row in table_rows(path):
        if row["path"] in rows:
            raise ValueError(f"{path}: line {line} names {row['path']} again")
        rows[row["path"]] = row
    return list(rows.values())


def table_rows(path: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The same rows, one at a time, each with the line where it ends; a path may be there twice."""
    delimiter = "\t" if path.endswith((".tsv", ".tab")) else ","
    start, part = 1, list[str]()  # the line where a row begins, and its lines

    def kept(lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            part.append(line)
            yield line

    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(kept(file), delimiter=delimiter, restval="")
            _check_columns(path, list(reader.fieldnames or []))
            start = reader.line_num + 1
            part.clear()
            for row in reader:
                if reader.line_num > start:  # lines in a cell, or a quote that took them in
                    list(csv.reader(part, delimiter=delimiter, strict=True))
                where, start = f"{path}: line {reader.line_num}", reader.line_num + 1
                part.clear()
                if any(row.pop(None, [])):
                    raise ValueError(f"{where} has more cells than columns: put its text in quotes")
                if not row["path"].strip():
                    raise ValueError(f"{where} names no path")
                row["path"] = Path(row["path"].strip()).as_posix()
                yield reader.line_num, row
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error}): save it as UTF-8") from None
    except csv.Error as error:
        raise ValueError(
            f"{path}: line {start}: {error}. Is a quote left open? A cell that begins with a quote "
            "ends with one, and those inside are doubled."
        ) from None


def _check_columns(path: str, columns: list[str]) -> None:
    if missing := {"path", "text"} - set(columns):
        raise ValueError(
            f"{path}: no column {' and '.join(sorted(missing))}; "
            f"columns are {', '.join(columns or ['(none)'])}. "
            "A corpus table has path, text and, if there are several, speaker, language."
        )
    for column in ("path", "text", "speaker", "language"):
        if columns.count(column) > 1:
            raise ValueError(f"{path}: column {column} is there twice")
