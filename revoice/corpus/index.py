"""What files a corpus has, and which shard each belongs to, known before any rule runs.

The index is made while the Snakefile is read. Every shard gets a list of its files, written
only when its content changes, so that Snakemake's file times say exactly what to run again.
"""

import csv
import hashlib
import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from revoice.config import CorpusConfig
from revoice.corpus.asterisk import asterisk_index
from revoice.corpus.naming import corpus_root, slug
from revoice.files import atomic, sha256

AUDIO_SUFFIXES = frozenset(
    ".aac .aif .aifc .aiff .amr .ape .au .caf .flac .g722 .gsm .m4a .mka .mkv .mov .mp2 .mp3 .mp4 "
    ".oga .ogg .opus .ra .snd .spx .tta .wav .wave .webm .wma .wv".split()
)
TEXT_SUFFIXES = (".normalized.txt", ".txt")  # in the order of preference
TRANSCRIPTS = (".txt", ".trans.tsv", ".book.tsv", "metadata.csv")  # what transcripts are read from
# To estimate durations from sizes: exact enough to fill shards, and free.
BYTES_PER_SECOND = {".wav": 48000, ".wave": 48000, ".aiff": 48000, ".flac": 25000, ".g722": 8000}
ASTERISK_SECONDS = 2.7  # of a prompt on average: sizes are not known before the fetch


class AudioFile(NamedTuple):
    """One file of a corpus: its path below the root, what it is worth, what it was when seen."""

    path: str
    seconds: float  # estimated
    stamp: str  # `sha256:…` or `{size}:{mtime_ns}`


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
        texts = [f"{os.path.splitext(file.path)[0]}.txt\t{file.stamp}" for file in files]
        return sorted(files), sorted(texts)
    root, path = corpus_root(corpus), Path(str(corpus.path))
    if corpus.kind == "table":
        if not path.is_file():
            raise ValueError(f"{path} is not a file, and a corpus of kind 'table' is one")
        files = [_stamped(row["path"], root / row["path"]) for row in read_table(str(path))]
        texts = [_line(path.name, path.stat())]
    else:
        # LibriTTS has the text as it was printed too, which is not what is spoken
        unread = ".original.txt" if corpus.kind == "libritts" else ()
        files, texts = _walk(root, corpus.subsets, unread)
    if not files:
        raise ValueError(f"{path} holds no audio ({' '.join(sorted(AUDIO_SUFFIXES))})")
    for file in files:
        if not _listable(file.path):
            raise ValueError(
                f"{str(root / file.path)!r} cannot stand in a list: rename it, "
                "in UTF-8 and without tabs and line breaks"
            )
    return sorted(files, key=itemgetter(0)), sorted(texts)


def _walk(
    root: Path, subsets: list[str], unread: str | tuple[str, ...]
) -> tuple[list[AudioFile], list[str]]:
    """Audio and transcript files below `root` (below its `subsets` only, where given).

    Transcripts that end in `unread` are left out. A corpus may have millions of files: this costs
    one system call for each that counts, and little else.
    """
    files, texts = [], []
    folders = [f"{subset.strip('/')}/" for subset in subsets] or [""]  # below the root
    for folder in folders:
        if not (root / folder).is_dir():
            raise ValueError(f"{root / folder} is not a folder")
    while folders:
        folder = folders.pop()
        # by its number, which spares the system the way to each file
        with _opened(root / folder) as number, os.scandir(number) as entries:
            for entry in entries:
                name = entry.name
                path = folder + name
                if name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append(f"{path}/")
                elif name[name.rfind(".") :].lower() in AUDIO_SUFFIXES:
                    files.append(_stamped(path, entry))
                elif (
                    name.endswith(TRANSCRIPTS)
                    and not name.endswith(unread)
                    and entry.is_file()
                    and _listable(path)
                ):
                    texts.append(_line(path, entry.stat()))
    return files, texts


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    number = os.open(folder, os.O_RDONLY)
    try:
        yield number
    finally:
        os.close(number)


def _stamped(path: str, where: os.DirEntry[str] | Path) -> AudioFile:
    """A file as it is now; one that is absent is rejected later, with its reason."""
    try:
        found = where.stat()
    except FileNotFoundError:
        return AudioFile(path, 0.0, "absent")
    seconds = found.st_size / BYTES_PER_SECOND.get(path[path.rfind(".") :].lower(), 12000)
    return AudioFile(path, seconds, f"{found.st_size}:{found.st_mtime_ns}")


def _line(path: str, stat: os.stat_result) -> str:
    return f"{path}\t{stat.st_size}:{stat.st_mtime_ns}"


def _listable(path: str) -> bool:
    """Whether a path can stand in a line of a list."""
    if path.isascii() and path.isprintable():
        return True
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return "\t" not in path and path.splitlines() == [path]


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


def assign_shards(files: Iterable[AudioFile], seconds: float) -> dict[str, list[AudioFile]]:
    """Files by shard, each shard about `seconds` long, and four thirds of that at most.

    Files are ordered by a hash of their name and halved by its next bit while a part of several
    is longer. Which files it has depends on no file outside it: one added or removed
    changes its own part alone (which it may split).
    """
    longest = 1000 * seconds * 4 / 3
    # files of one name, in whatever format or folder, meet in one shard: only one can be taken
    hashed = sorted(((_hash64(slug(file.path)), file) for file in files), key=itemgetter(0))
    hashes = [number for number, _ in hashed]
    # whole milliseconds add up to the same whatever stands before
    ends = list(accumulate((round(1000 * file.seconds) for _, file in hashed), initial=0))

    def halve(first: int, last: int, bits: str) -> Iterator[tuple[str, list[AudioFile]]]:
        if last - first < 2 or len(bits) == 64 or ends[last] - ends[first] <= longest:
            part = (file for _, file in hashed[first:last])
            yield f"s{bits}", sorted(part, key=itemgetter(0))
            return
        middle = bisect_left(hashes, int(f"{bits}1".ljust(64, "0"), 2), first, last)
        yield from halve(first, middle, bits + "0")
        yield from halve(middle, last, bits + "1")

    return {shard: part for shard, part in halve(0, len(hashed), "") if part}


def _hash64(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def index_corpus(corpus: CorpusConfig, folder: Path, seconds: float) -> list[str]:
    """Write the lists of a corpus below `folder` and name its shards.

    Writes `shards/{shard}.tsv` (path, stamp) and `transcripts.tsv`, those whose content is new
    only, and removes the lists of shards that are no more. A list whose files have new times but
    the bytes that they had keeps its own time, which is what Snakemake looks at.
    """
    files, texts = scan(corpus)
    shards = assign_shards(files, seconds)
    for shard, part in shards.items():
        path = folder / "shards" / f"{shard}.tsv"
        lines = [f"{file.path}\t{file.stamp}" for file in part]
        if _differs(path, lines):
            table = folder / "audio" / f"{shard}.csv"
            _write(path, lines, keep_time=_same_bytes(part, path, table, corpus_root(corpus)))
    for path in (folder / "shards").glob("*.tsv"):
        if path.stem not in shards:
            path.unlink()
    if _differs(folder / "transcripts.tsv", texts):
        _write(folder / "transcripts.tsv", texts)
    return sorted(shards)


def _same_bytes(part: list[AudioFile], path: Path, table: Path, root: Path) -> bool:
    """Whether a shard has the files of its list, with other times alone.

    What bytes they had stands in the table that the shard's resampling left. Only files whose
    stamp is new are read.
    """
    if not (path.exists() and table.exists()):
        return False
    former = dict(line.split("\t") for line in path.read_text("utf-8").splitlines())
    if list(former) != [file.path for file in part]:
        return False
    with open(table, encoding="utf-8", newline="") as rows:
        digests = {row["path"]: row["sha256"] for row in csv.DictReader(rows)}
    return all(
        former[file.path].split(":")[0] == file.stamp.split(":")[0]  # as large as it was
        and (root / file.path).is_file()
        and digests.get(file.path) == sha256(root / file.path)
        for file in part
        if former[file.path] != file.stamp
    )


def _differs(path: Path, lines: list[str]) -> bool:
    return not path.exists() or path.read_text("utf-8") != "".join(f"{line}\n" for line in lines)


def _write(path: Path, lines: list[str], keep_time: bool = False) -> None:
    with atomic(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        if keep_time:
            was = path.stat()
            os.utime(temporary, ns=(was.st_atime_ns, was.st_mtime_ns))
