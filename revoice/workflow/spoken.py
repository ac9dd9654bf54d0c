"""The chapters of texts that are spoken: names of files."""

import re
from collections.abc import Mapping
from glob import glob, has_magic
from pathlib import Path

from revoice.config import Config
from revoice.corpus.naming import shortened

LONGEST = 200  # bytes of a chapter's name


def chapters(config: Config, book: str) -> dict[str, str]:
    """The files of a text by the names of its chapters, which are the files' own, in order.

    Those of a pattern are in the order of their names, chapter 2 before chapter 10. Raises
    ValueError for files of one name.
    """
    where, found = f"speak.{book}.texts", dict[str, str]()
    for pattern in config.speak[book].texts:
        paths = sorted(glob(pattern), key=_counted) if has_magic(pattern) else [pattern]
        for path in paths:
            stem = re.sub(r"[^\w.+-]", "_", Path(path).stem).lstrip(".-")
            name = shortened(stem or "chapter", LONGEST)
            if name in found:
                raise ValueError(
                    f"{where}: {found[name]} and {path} would both be chapter {name}: rename one"
                )
            found[name] = path
    return found


def named(config: Config, book: str, found: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The chapters of a text, of those that were found; ValueError where it has none."""
    if not found[book]:
        patterns = ", ".join(config.speak[book].texts)
        raise ValueError(f"speak.{book}.texts: no file matches {patterns}")
    return list(found[book])


def _counted(path: str) -> list[tuple[int, str]]:
    """A key by which numbers in names are in the order of numbers."""
    parts = re.split(r"(\d+)", path)
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]
