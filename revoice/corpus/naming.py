"""What things of a corpus are called and where they lie; all else may change without a rerun."""

import hashlib
import os
import re
from pathlib import Path

from revoice.config import CorpusConfig

SPACE = re.compile(r"\s")
ASTERISK_ROOT = Path("data/asterisk")


def slug(path: str) -> str:
    """What a file's recording is called, whatever its format: `a/b c.wav` is `a-b_c`.

    A name too long for a file of its own ends in a digest.
    """
    name = SPACE.sub("_", os.path.splitext(path)[0].replace("/", "-"))
    if len(name.encode()) > 180:
        name = f"{name[:40]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return name


def recording_id(corpus: str, path: str) -> str:
    """What a file's recording and cut are called: `a/b c.wav` of `mine` is `mine-a-b_c`."""
    return f"{corpus}-{slug(path)}"


def corpus_root(corpus: CorpusConfig) -> Path:
    """The folder that the paths of a corpus are relative to."""
    if corpus.kind == "asterisk":
        return ASTERISK_ROOT
    path = Path(str(corpus.path))
    return path.parent if corpus.kind == "table" else path


def listed_shards(folder: Path) -> list[str]:
    """The shards as `index_corpus` left them: for jobs, which must not look again."""
    return sorted(path.stem for path in (folder / "shards").glob("*.tsv"))


def read_shard(path: str | Path) -> list[str]:
    """Paths below the corpus root of the files in a shard's list."""
    return [line.split("\t")[0] for line in Path(path).read_text("utf-8").splitlines()]
