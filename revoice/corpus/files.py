"""The tables of a corpus's files: what each was, and why some are left out."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from revoice.corpus.ondisk import OnDisk
from revoice.files import TEXTS, atomic

TYPES = {"path": str, "id": str, "reason": str}


class Files:
    """The files of a corpus by path, from its shards' tables; on disk, whatever their number."""

    def __init__(self, rows: OnDisk) -> None:
        self._rows = rows
        self._columns: list[str] = []
        self._floats = set[str]()  # columns of numbers that are missing somewhere

    def add(self, table: Path) -> None:
        """Add what the resampling of a shard has found."""
        read = pd.read_csv(table, dtype=TYPES, **TEXTS)
        self._columns = list(read.columns)
        self._floats |= {name for name, kind in read.dtypes.items() if kind == "float64"}
        rows = read.astype(object).where(read.notna(), None)
        for row in rows.itertuples(index=False, name=None):
            self._rows[row[self._columns.index("path")]] = row

    def usable(self) -> Iterator[str]:
        """Paths of the files that came through the resampling, sorted."""
        reason = self._columns.index("reason")
        return (path for path, row in self._rows.items() if row[reason] is None)

    def write(self, why: Callable[[str], str | None], files: Path, rejected: Path) -> None:
        """Write a row for each file, and path and reason of those that are left out, by path.

        Args:
            why: says why a usable file is left out; None: it is not.
        """
        reason = self._columns.index("reason")
        with (
            atomic(files) as all_files,
            atomic(rejected) as left_out,
            open(all_files, "w", encoding="utf-8", newline="") as first,
            open(left_out, "w", encoding="utf-8", newline="") as second,
        ):
            table, reasons = (csv.writer(file, lineterminator="\n") for file in (first, second))
            table.writerow(self._columns)
            reasons.writerow(["path", "reason"])
            for path, row in self._rows.items():
                row[reason] = row[reason] or why(path)
                table.writerow(map(self._written, self._columns, row))
                if row[reason]:
                    reasons.writerow([path, row[reason]])

    def _written(self, column: str, value: Any) -> Any:
        return float(value) if column in self._floats and type(value) is int else value


def usable_by_id(table: Path) -> dict[str, str]:
    """Paths by recording id of the files of a shard that came through the resampling."""
    read = pd.read_csv(table, usecols=list(TYPES), dtype=TYPES, **TEXTS)
    read = read[read["reason"].isna()]
    return dict(zip(read["id"], read["path"], strict=True))
