"""What files a corpus has, and which shard each belongs to, known before any rule runs.

The index is made while the Snakefile is read. Every shard gets a list of its files, written
only when its content changes, so that Snakemake's file times say exactly what to run again.
"""

import csv
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from revoice.asterisk import asterisk_index
from revoice.config import CorpusConfig
from revoice.files import atomic, sha256

AUDIO_SUFFIXES = frozenset(
    ".aac .aif .aifc .aiff .amr .ape .au .caf .flac .g722 .gsm .m4a .mka .mkv .mov .mp2 .mp3 .mp4 "
    ".oga .ogg .opus .ra .snd .spx .tta .wav .wave .webm .wma .wv".split()
)
TEXT_SUFFIXES = (".normalized.txt", ".txt")  # in the order of preference
# To estimate durations from sizes: exact enough to fill shards, and free.
BYTES_PER_SECOND = {".wav": 48000, ".wave": 48000, ".aiff": 48000, ".flac": 25000, ".g722": 8000}
ASTERISK_ROOT = Path("data/asterisk")
ASTERISK_SECONDS = 2.7  # of a prompt on average: sizes are not known before the fetch


class AudioFile(NamedTuple):
    """One file of a corpus: its path below the root, what it is worth, what it was when seen."""

    path: str
    seconds: float  # estimated
    stamp: str  # `sha256:…` or `{size}:{mtime_ns}`

    @property
    def stem(self) -> str:
        """The path without its suffix: what the recording is called."""
        return os.path.splitext(self.path)[0]


def corpus_root(corpus: CorpusConfig) -> Path:
    """The folder that the paths of a corpus are relative to."""
    if corpus.kind == "asterisk":
        return ASTERISK_ROOT
    path = Path(str(corpus.path))
    return path.parent if corpus.kind == "table" else path


def scan(corpus: CorpusConfig) -> tuple[list[AudioFile], list[str]]:
    """All audio files of a corpus, and a line for each transcript file (path, size, time).

    Raises:
        ValueError: nothing is there, or a table lacks a column.
    """
    if corpus.kind == "asterisk":
        files = [
            AudioFile(f"{language}/{path}", ASTERISK_SECONDS, f"sha256:{digest}")
            for language in corpus.languages
            for path, digest in asterisk_index(language)
        ]
        return files, [f"{file.stem}.txt\t{file.stamp}" for file in files]
    root = corpus_root(corpus)
    if not Path(str(corpus.path)).exists():
        raise ValueError(f"corpora: {corpus.path} does not exist")
    if corpus.kind == "table":
        files = [_stamped(root, row["path"]) for row in read_table(str(corpus.path))]
        texts = [_line(Path(str(corpus.path)).name, os.stat(str(corpus.path)))]
    else:
        files, texts = _walk(root, corpus.parts)
    if not files:
        raise ValueError(f"corpora: {corpus.path} holds no audio file")
    return sorted(files), sorted(texts)


def _walk(root: Path, parts: list[str]) -> tuple[list[AudioFile], list[str]]:
    """Audio and transcript files below `root` (below its `parts` only, where given)."""
    files, texts = [], []
    folders = [root / part for part in parts] or [root]
    prefix = len(str(root)) + 1
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append(Path(entry.path))
                    continue
                suffix = os.path.splitext(entry.name)[1].lower()
                if suffix in AUDIO_SUFFIXES:
                    files.append(_file(entry.path[prefix:], suffix, entry.stat()))
                elif suffix == ".txt" or entry.name == "metadata.csv":
                    texts.append(_line(entry.path[prefix:], entry.stat()))
    return files, texts


def _file(path: str, suffix: str, stat: os.stat_result) -> AudioFile:
    seconds = stat.st_size / BYTES_PER_SECOND.get(suffix, 12000)
    return AudioFile(Path(path).as_posix(), seconds, f"{stat.st_size}:{stat.st_mtime_ns}")


def _stamped(root: Path, path: str) -> AudioFile:
    """A file that a table names; one that is absent is rejected later, with its reason."""
    try:
        return _file(path, os.path.splitext(path)[1].lower(), os.stat(root / path))
    except FileNotFoundError:
        return AudioFile(Path(path).as_posix(), 0.0, "absent")


def _line(path: str, stat: os.stat_result) -> str:
    return f"{Path(path).as_posix()}\t{stat.st_size}:{stat.st_mtime_ns}"


def read_table(path: str) -> list[dict[str, str]]:
    """Rows of a CSV or TSV with the columns path, text, speaker, language.

    Only path and text must be there. Raises ValueError where they are not.
    """
    delimiter = "\t" if path.endswith((".tsv", ".tab")) else ","
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter)
        missing = {"path", "text"} - set(reader.fieldnames or [])
        if missing:
            raise ValueError(
                f"{path}: no column {' and '.join(sorted(missing))}; "
                f"columns are {', '.join(reader.fieldnames or ['(none)'])}. "
                "A corpus table has path, text and, if there are several, speaker, language."
            )
        return list(reader)


def assign_shards(files: Iterable[AudioFile], seconds: float) -> dict[str, list[AudioFile]]:
    """Files by shard, each shard at most `seconds` long where more than one file is in it.

    Files are ordered by a hash of their name and halved by its next bit until each part is
    short enough: a part is about half to wholly full, and which files it has depends on no
    file outside it. A file added or removed changes its own part alone (which it may split).
    """

    def halve(part: list[tuple[int, AudioFile]], bits: str) -> Iterator[tuple[str, list]]:
        if len(part) < 2 or len(bits) == 64 or sum(f.seconds for _, f in part) <= seconds:
            yield f"s{bits}", sorted(file for _, file in part)
            return
        mask = 1 << (63 - len(bits))
        yield from halve([item for item in part if not item[0] & mask], bits + "0")
        yield from halve([item for item in part if item[0] & mask], bits + "1")

    hashed = [(_hash64(file.stem), file) for file in files]
    return {shard: part for shard, part in halve(hashed, "") if part}


def _hash64(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def index_corpus(corpus: CorpusConfig, folder: Path, seconds: float) -> list[str]:
    """Write the lists of a corpus below `folder` and name its shards.

    Writes `shards/{shard}.tsv` (path, stamp) and `transcripts.tsv`, those whose content is new
    only, and removes the lists of shards that are no more.
    """
    files, texts = scan(corpus)
    shards = assign_shards(files, seconds)
    for shard, part in shards.items():
        path = folder / "shards" / f"{shard}.tsv"
        lines = [f"{file.path}\t{file.stamp}" for file in part]
        if _differs(path, lines):
            lines = _untouched(lines, path, folder / "audio" / f"{shard}.csv", corpus_root(corpus))
            _write_changed(path, lines)
    for path in (folder / "shards").glob("*.tsv"):
        if path.stem not in shards:
            path.unlink()
    _write_changed(folder / "transcripts.tsv", texts)
    return sorted(shards)


def listed_shards(folder: Path) -> list[str]:
    """The shards as `index_corpus` left them: for jobs, which must not look again."""
    return sorted(path.stem for path in (folder / "shards").glob("*.tsv"))


def read_shard(path: str | Path) -> list[str]:
    """Paths below the corpus root of the files in a shard's list."""
    return [line.split("\t")[0] for line in Path(path).read_text("utf-8").splitlines()]


def _untouched(lines: list[str], path: Path, table: Path, root: Path) -> list[str]:
    """`lines`, with the former stamp where a file has a new time but the bytes that it had.

    What bytes those were stands in the table that the shard's resampling left.
    """
    if not (path.exists() and table.exists()):
        return lines
    former = dict(line.split("\t") for line in path.read_text("utf-8").splitlines())
    with open(table, encoding="utf-8", newline="") as file:
        digests = {row["path"]: row["sha256"] for row in csv.DictReader(file)}
    kept = []
    for line in lines:
        name, stamp = line.split("\t")
        old = former.get(name, stamp)
        same_size = old.split(":")[0] == stamp.split(":")[0]
        if old != stamp and same_size and digests.get(name) == sha256(root / name):
            line = f"{name}\t{old}"
        kept.append(line)
    return kept


def _differs(path: Path, lines: list[str]) -> bool:
    return not path.exists() or path.read_text("utf-8") != "".join(f"{line}\n" for line in lines)


def _write_changed(path: Path, lines: list[str]) -> None:
    if _differs(path, lines):
        with atomic(path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), "utf-8")
