"""What files a corpus has, and which shard each belongs to, known before any rule runs.

The index is made while the Snakefile is read, which writes nothing: digests of what each shard
holds stand in the rules' params, so that Snakemake sees what to run again. The rule `index` writes
the lists that the jobs read.
"""

import csv
import errno
import hashlib
import logging
import os
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import accumulate
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from revoice.config import CorpusConfig
from revoice.corpus.asterisk import asterisk_index
from revoice.corpus.naming import LANGUAGE, corpus_root, slug
from revoice.corpus.table import read_table
from revoice.files import atomic, read_json, sha256, write_json
from revoice.recordings.labels import LABELS, label_lines
from revoice.synthetic.parts import parts_of, stamp

log = logging.getLogger(__name__)

AUDIO_SUFFIXES = frozenset(
    ".aac .aif .aifc .aiff .amr .ape .au .caf .flac .g722 .gsm .m4a .mka .mkv .mov .mp2 .mp3 .mp4 "
    ".oga .ogg .opus .ra .snd .spx .tta .wav .wave .webm .wma .wv".split()
)
TRANSCRIPTS = (".txt", ".trans.tsv", ".book.tsv", "metadata.csv")  # what transcripts are read from
# And those of raw recordings: subtitles, labels of programs that show sound, what was proofread
BESIDE = (".txt", ".srt", ".vtt", ".textgrid", LABELS)
TAGGED = re.compile(rf"\.(?:{LANGUAGE}|normalized)$", re.IGNORECASE)  # `talk.en.srt`
# To estimate durations from sizes: exact enough to fill shards, and free.
BYTES_PER_SECOND = {".wav": 48000, ".wave": 48000, ".aiff": 48000, ".flac": 25000, ".g722": 8000}
ASTERISK_SECONDS = 2.7  # of a prompt on average: sizes are not known before the fetch

UNLISTABLE = re.compile(r"[\0\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029\ud800-\udfff]")
UNREACHABLE = {errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG}
MANY = 10  # shards whose files are read again at each planning: from here on it is said


class AudioFile(NamedTuple):
    """One file of a corpus: its path below the root, what it is worth, what it was when seen."""

    path: str
    seconds: float  # estimated
    stamp: str  # `sha256:…` or `{size}:{mtime_ns}`


def scan(corpus: CorpusConfig) -> tuple[list[AudioFile], list[str]]:
    """All audio files of a corpus, and a line for each transcript file (path, size, time).

    Raises ValueError where nothing is there, or a table lacks a column.
    """
    root, path = corpus_root(corpus), Path(str(corpus.path))
    match corpus.kind:
        case "asterisk":  # known before it is fetched
            return _of_asterisk(corpus.languages)
        case "synthetic":  # known before it is spoken
            said = stamp(corpus)
            return sorted(AudioFile(p.name, p.seconds, said) for p in parts_of(corpus)), [said]
        case "table":
            files, texts = _of_table(path)
        case "libritts":
            # it has the text as it was printed too, which is not what is spoken
            files, texts = _walk(root, corpus.subsets, unread=".original.txt")
        case "folder" | "ljspeech":
            files, texts = _walk(root, corpus.subsets)
        case "recordings":
            files, texts = _walk(root, corpus.subsets, read=BESIDE)
            if corpus.subsets and (root / LABELS).is_file():
                texts.append(_line(LABELS, (root / LABELS).stat()))
    if not files:
        raise ValueError(f"{path} holds no audio ({' '.join(sorted(AUDIO_SUFFIXES))})")
    for file in files:
        if not _listable(file.path):
            raise ValueError(
                f"{str(root / file.path)!r} cannot stand in a list: rename it, "
                "in UTF-8 and without tabs, line breaks and null bytes"
            )
    return sorted(files, key=itemgetter(0)), sorted(texts)


def _of_asterisk(languages: list[str]) -> tuple[list[AudioFile], list[str]]:
    files = [
        AudioFile(f"{language}/{path}", ASTERISK_SECONDS, f"sha256:{digest}")
        for language in languages
        for path, digest in asterisk_index(language)
    ]
    texts = [f"{os.path.splitext(file.path)[0]}.txt\t{file.stamp}" for file in files]
    return sorted(files), sorted(texts)


def _of_table(table: Path) -> tuple[list[AudioFile], list[str]]:
    if not table.is_file():
        raise ValueError(f"{table} is not a file, and a corpus of kind 'table' is one")
    files = [_stamped(row["path"], table.parent / row["path"]) for row in read_table(str(table))]
    return files, [_line(table.name, table.stat())]


def _walk(
    root: Path,
    subsets: list[str],
    unread: str | tuple[str, ...] = (),
    read: tuple[str, ...] = TRANSCRIPTS,
) -> tuple[list[AudioFile], list[str]]:
    """Audio and transcript files below `root` (below its `subsets` only, where given).

    Transcripts end in one of `read`; those that end in `unread` are left out. A corpus may have
    millions of files: this costs one system call for each that counts, and little else.
    """
    files, texts = [], []
    below = [f"{subset.strip('/')}/" for subset in subsets] or [""]  # below the root
    for folder in below:
        if not (root / folder).is_dir():
            raise ValueError(f"{root / folder} is not a folder")
    folders: list[tuple[str, tuple[tuple[int, int], ...]]] = [(folder, ()) for folder in below]
    while folders:
        folder, above = folders.pop()  # `above`: the folders that it is in
        with ExitStack() as stack:
            # by its number, which spares the system the way to each file
            number = os.open(root / folder, os.O_RDONLY)
            stack.callback(os.close, number)
            found = os.fstat(number)
            if (this := (found.st_dev, found.st_ino)) in above:
                log.warning("%s is a link to a folder that it is in, and left out", root / folder)
                continue
            for entry in stack.enter_context(os.scandir(number)):
                name = entry.name
                path = folder + name
                if name.startswith("."):
                    continue
                try:
                    is_folder = entry.is_dir()
                except OSError as error:  # links that go in a circle
                    log.warning("%s: %s: left out", root / path, error.strerror)
                    continue
                if is_folder:
                    folders.append((f"{path}/", (*above, this)))
                elif name[name.rfind(".") :].lower() in AUDIO_SUFFIXES:
                    files.append(_stamped(path, entry))
                elif (
                    name.lower().endswith(read)
                    and not name.endswith(unread)
                    and entry.is_file()
                    and _listable(path)
                ):
                    texts.append(_line(path, entry.stat()))
    return files, texts


def _stamped(path: str, where: os.DirEntry[str] | Path) -> AudioFile:
    """A file as it is now; one that is not to be had is rejected later, with its reason."""
    try:
        found = where.stat()
    except (OSError, ValueError) as error:  # ValueError: a null byte, which no list takes
        if isinstance(error, OSError) and error.errno not in UNREACHABLE:
            raise
        return AudioFile(path, 0.0, "absent")
    seconds = found.st_size / BYTES_PER_SECOND.get(path[path.rfind(".") :].lower(), 12000)
    return AudioFile(path, seconds, f"{found.st_size}:{found.st_mtime_ns}")


def _line(path: str, stat: os.stat_result) -> str:
    return f"{path}\t{stat.st_size}:{stat.st_mtime_ns}"


def _listable(path: str) -> bool:
    """Whether a path can stand in a line of a list."""
    return (path.isascii() and path.isprintable()) or not UNLISTABLE.search(path)


def assign_shards(files: Iterable[AudioFile], seconds: float) -> dict[str, list[AudioFile]]:
    """Files by shard, each shard about `seconds` long, and four thirds of that at most.

    Files are ordered by a hash of their name and halved by its next bit while a part of several
    is longer: one added or removed changes its own part alone (which it may split).
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


class Index(NamedTuple):
    """What a corpus consists of, in digests, and the lists that say it file by file."""

    shards: dict[str, str]  # the digest of each shard's files
    transcripts: str  # the digest of all transcripts
    lists: dict[str, list[str]]  # lines by path below the corpus's folder, of those to be written
    kept: dict[str, str]  # shards of which files have new times alone: the digest of these files
    beside: Mapping[str, str] = {}  # of raw recordings, what lies beside each shard's files
    labels: Mapping[str, str] = {}  # and what was proofread of them

    @property
    def digest(self) -> str:
        """The digest of all of it."""
        return _digest([*map(" ".join, sorted(self.shards.items())), self.transcripts])


def index_corpus(
    corpus: CorpusConfig, folder: Path, seconds: float, kept: Mapping[str, str] | None = None
) -> Index:
    """What a corpus consists of now. Writes nothing; raises what `scan` raises.

    A line of a shard's list is path, stamp, and since: the stamp at which the content changed
    last. A shard's digest is of path and since, so that a file with another time but the bytes
    that it had changes no digest.

    Args:
        folder: `results/corpora/{corpus}`, with the lists of the last index.
        kept: what was found before, of the same files: jobs that run by now may have removed the
            tables that tell which bytes files had. None: they are looked for.
    """
    files, texts = scan(corpus)
    lists = {} if texts == _lines(folder / "transcripts.tsv") else {"transcripts.tsv": texts}
    shards: dict[str, str] = {}
    same: dict[str, str] = {}
    assigned = assign_shards(files, seconds)
    for shard, part in assigned.items():
        name, table = f"shards/{shard}.tsv", folder / f"audio/{shard}.csv"
        listed = _lines(folder / name)
        found = (line.split("\t") for line in listed)
        former = {path: rest for path, *rest in found if len(rest) == 2}
        news = [file for file in part if former.get(file.path, [""])[0] != file.stamp]
        since = {path: stamps[-1] for path, stamps in former.items()}
        if news and list(former) == [file.path for file in part]:
            now = _digest(f"{file.path}\t{file.stamp}" for file in news)
            if kept is None:
                unchanged = _same_bytes(news, former, table, corpus_root(corpus))
            else:
                unchanged = kept.get(shard) == now
            if unchanged:
                same[shard], news = now, []
        since |= {file.path: file.stamp for file in news}
        shards[shard] = _digest(f"{file.path}\t{since[file.path]}" for file in part)
        lines = [f"{path}\t{stamp}\t{since[path]}" for path, _, stamp in part]
        if lines != listed:
            lists[name] = lines
    if len(same) > MANY and kept is None:
        log.warning(
            "%s: %d shards have files with new times and the same bytes, which were read to see "
            "that. `snakemake --force %s/index.json` notes it.",
            *(corpus_root(corpus), len(same), folder),
        )
    raw = _of_recordings(corpus, assigned, texts) if corpus.kind == "recordings" else ({}, {})
    return Index(shards, _digest(texts), lists, same, *raw)


def _of_recordings(
    corpus: CorpusConfig, shards: Mapping[str, Iterable[AudioFile]], texts: list[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """By shard, digests of what lies beside its recordings, and of what was proofread of them."""
    by_stem: dict[str, list[str]] = {}
    for line in texts:
        stem = os.path.splitext(line.split("\t")[0])[0]
        for known in {stem, TAGGED.sub("", stem)}:
            by_stem.setdefault(known, []).append(line)
    proofread = label_lines(corpus_root(corpus) / LABELS)

    def digests(lines_of: Callable[[str], list[str]]) -> dict[str, str]:
        return {
            shard: _digest(line for file in files for line in lines_of(file.path))
            for shard, files in shards.items()
        }

    beside = digests(lambda path: by_stem.get(os.path.splitext(path)[0], []))
    return beside, digests(lambda path: proofread.get(path, []))


def _same_bytes(
    news: list[AudioFile], former: dict[str, list[str]], table: Path, root: Path
) -> bool:
    """Whether files with new stamps have the bytes that the shard's resampling found."""
    if not table.exists():
        return False
    with open(table, encoding="utf-8", newline="") as rows:
        digests = {row["path"]: row["sha256"] for row in csv.DictReader(rows)}
    return all(
        former[file.path][0].split(":")[0] == file.stamp.split(":")[0]  # as large as it was
        and (root / file.path).is_file()
        and digests.get(file.path) == sha256(root / file.path)
        for file in news
    )


def write_index(index: Index, path: Path) -> None:
    """Write an index's digests to `path`, and those of its lists beside it that are new.

    They are `shards/{shard}.tsv` (path, stamp, since) and `transcripts.tsv` (path, stamp). Lists
    of shards that are no more are removed.
    """
    for name, lines in index.lists.items():
        with atomic(path.parent / name) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    for old in (path.parent / "shards").glob("*.tsv"):
        if old.stem not in index.shards:
            old.unlink()
    written = {"shards": index.shards, "transcripts": index.transcripts}
    raw = {"beside": dict(index.beside), "labels": dict(index.labels)} if index.beside else {}
    write_json(path, written | raw)


def read_index(path: Path) -> Index:
    """The digests that `write_index` left; those of nothing where it has left none.

    Raises ValueError for a file that is another's, or damaged.
    """
    if not path.exists():
        return Index({}, "", {}, {})
    mend = "remove it, and it is written again"
    try:
        found = read_json(path)
    except ValueError as error:
        raise ValueError(f"{error}: {mend}") from None
    match found:
        case {"shards": dict(), "transcripts": str(transcripts), **raw}:
            parts = [found["shards"], raw.pop("beside", {}), raw.pop("labels", {})]
            if not raw and all(map(_by_shard, parts)):
                return Index(parts[0], transcripts, {}, {}, *parts[1:])
    raise ValueError(f"{path} is not the index of a corpus: {mend}")


def _by_shard(found: Any) -> bool:
    """Whether it is a dictionary of shards to digests."""
    return isinstance(found, dict) and all(
        re.fullmatch("s[01]*", shard) and isinstance(digest, str) for shard, digest in found.items()
    )


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()[:16]


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8", "replace").splitlines() if path.exists() else []
