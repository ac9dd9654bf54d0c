"""A corpus given as a table of its files."""

import csv
from pathlib import Path


def read_table(path: str) -> list[dict[str, str]]:
    """Rows of a CSV or TSV with the columns path, text, speaker, language.

    Only path and text must be there; a cell that is not is "".

    Raises:
        ValueError: a column is missing, a path is missing or there twice, or it is not UTF-8.
    """
    delimiter = "\t" if path.endswith((".tsv", ".tab")) else ","
    rows: dict[str, dict[str, str]] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=delimiter, restval="")
            missing = {"path", "text"} - set(reader.fieldnames or [])
            if missing:
                raise ValueError(
                    f"{path}: no column {' and '.join(sorted(missing))}; "
                    f"columns are {', '.join(reader.fieldnames or ['(none)'])}. "
                    "A corpus table has path, text and, if there are several, speaker, language."
                )
            for row in reader:
                if not row["path"].strip():
                    raise ValueError(f"{path}: line {reader.line_num} names no path")
                row["path"] = Path(row["path"].strip()).as_posix()
                if row["path"] in rows:
                    raise ValueError(f"{path}: line {reader.line_num} names {row['path']} again")
                rows[row["path"]] = row
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error}): save it as UTF-8") from None
    return list(rows.values())
