"""What things of a corpus are called and where they lie; all else may change without a rerun."""

import hashlib
import os
import re
from pathlib import Path

from revoice.config import CorpusConfig

LANGUAGE = r"[a-z]{2,3}(?:[-_][\w-]+)?"  # in a file's name: en, pt-BR, en-orig
SPACE = re.compile(r"\s")
ASTERISK_ROOT = Path("data/asterisk")


def slug(path: str) -> str:
    """What a file's recording is called, whatever its format: `a/b c.wav` is `a-b_c`.

    A name too long for a file of its own ends in a digest.
    """
    return shortened(SPACE.sub("_", os.path.splitext(path)[0].replace("/", "-")), 180)


def shortened(name: str, most: int) -> str:
    """A name, or its begin and a digest where it has more than so many bytes, at least 177."""
    if len(name.encode()) <= most:
        return name
    return f"{name[:40]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def recording_id(corpus: str, path: str) -> str:
    """What a file's recording and cut are called: `a/b c.wav` of `mine` is `mine-a-b_c`."""
    return f"{corpus}-{slug(path)}"


def corpus_root(corpus: CorpusConfig) -> Path:
    """The folder that the paths of a corpus are relative to."""
    if corpus.kind == "asterisk":
        return ASTERISK_ROOT
    path = Path(str(corpus.path))
    return path.parent if corpus.kind in {"table", "synthetic"} else path


def is_known(corpus: CorpusConfig) -> bool:
    """Whether a corpus's files can be listed. Where a recipe fetches it, they can be after that."""
    return corpus.kind not in {"libritts", "ljspeech"} or Path(str(corpus.path)).exists()


def records(corpus: CorpusConfig) -> list[str]:
    """The records of the downloads that bring what is listed before it is there."""
    languages = corpus.languages if corpus.kind == "asterisk" else []
    return [(ASTERISK_ROOT / f"{language}.json").as_posix() for language in languages]


def read_shard(path: str | Path) -> list[str]:
    """Paths below the corpus root of the files in a shard's list.

    Raises FileNotFoundError where the list is gone; the message says how it is written again.
    """
    path = Path(path)
    if not path.exists():
        index = path.parent.parent / "index.json"
        raise FileNotFoundError(f"{path} is gone: `snakemake --force {index}` writes it again")
    return [line.split("\t")[0] for line in path.read_text("utf-8").splitlines()]
