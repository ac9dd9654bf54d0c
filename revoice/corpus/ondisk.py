"""A dict that lies on disk: a corpus may have more files than there is memory for."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote


class OnDisk:
    """JSON values by key in a new file, given back in the order of their keys.

    Memory is the same however many there are. The file is for this process alone, and worth
    nothing once it is closed.
    """

    def __init__(self, path: Path) -> None:
        # without locks, which network file systems may lack, and without care for a crash
        self._base = sqlite3.connect(f"file:{quote(str(path.absolute()))}?nolock=1", uri=True)
        self._base.execute("PRAGMA journal_mode = OFF")
        self._base.execute("PRAGMA synchronous = OFF")
        self._base.execute("CREATE TABLE kept (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")

    def __enter__(self) -> "OnDisk":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._base.close()

    def __setitem__(self, key: str, value: Any) -> None:
        self._base.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (key, json.dumps(value)))

    def __getitem__(self, key: str) -> Any:
        found = self._base.execute("SELECT value FROM kept WHERE key = ?", (key,)).fetchone()
        if found is None:
            raise KeyError(key)
        return json.loads(found[0])

    def items(self) -> Iterator[tuple[str, Any]]:
        """Keys, in the order of their code points, and values."""
        for key, value in self._base.execute("SELECT key, value FROM kept ORDER BY key"):
            yield key, json.loads(value)
