"""What is said in each recording of a corpus, by whom, in which language: by the corpus's kind."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from lhotse.recipes import prepare_libritts, prepare_ljspeech

from revoice.config import CorpusConfig
from revoice.corpus.naming import corpus_root
from revoice.corpus.ondisk import OnDisk
from revoice.corpus.table import table_rows

TEXT_SUFFIXES = (".normalized.txt", ".txt")  # in the order of preference
BATCH = 2000  # recordings that a recipe of Lhotse's is given at a time


class Transcript(NamedTuple):
    """What is said in a recording, by whom, in which language."""

    text: str
    speaker: str
    language: str


Said = Iterator[tuple[str, Transcript, str]]  # path, and why there is no text if it is ""


def transcripts(
    corpus: CorpusConfig, paths: Iterable[str]
) -> Iterator[tuple[str, Transcript | str]]:
    """Each file in `paths` (below the corpus root, sorted) with its transcript, or why it has none.

    Few are in memory at a time.

    Raises ValueError where the corpus is not laid out as its kind says.
    """
    for path, said, why in READERS[corpus.kind](corpus, paths):
        text = " ".join(said.text.split())
        if "\0" in text:
            text, why = "", "its text has null bytes: save it as UTF-8"
        yield path, said._replace(text=text) if text else why


def _of_asterisk(corpus: CorpusConfig, paths: Iterable[str]) -> Said:
    for path in paths:
        text, why = text_beside(corpus_root(corpus) / path)
        language = path.split("/")[0]
        yield path, Transcript(text, f"asterisk-{language}", language), why


def _of_folder(corpus: CorpusConfig, paths: Iterable[str]) -> Said:
    root = corpus_root(corpus)
    for path in paths:
        text, why = text_beside(root / path)
        speaker = corpus.speaker or (root / path).absolute().parent.name
        yield path, Transcript(text, speaker, corpus.languages[0]), why


def _of_table(corpus: CorpusConfig, paths: Iterable[str]) -> Said:
    """Its rows are laid down on disk, as they stand in another order than the paths."""
    with TemporaryDirectory() as folder, OnDisk(Path(folder) / "rows") as rows:
        for _, row in table_rows(str(corpus.path)):  # no path twice: the index was made of it
            rows[row["path"]] = row
        for path in paths:
            row = rows[path]
            speaker = row.get("speaker") or corpus.speaker or "speaker"
            language = row.get("language") or corpus.languages[0]
            said = Transcript(row["text"], speaker, language)
            yield path, said, "its text in the table is empty"


def _of_libritts(corpus: CorpusConfig, paths: Iterable[str]) -> Said:
    """By Lhotse's recipe where a subset has `*.trans.tsv`, else from beside each recording."""
    root = corpus_root(corpus)
    for batch in _batches(paths, os.path.dirname):
        folders = {folder for path in batch for folder in Path(path).parents}
        tables = [
            table.relative_to(root)
            for folder in sorted(folders)
            for end in ("*.trans.tsv", "*.book.tsv")
            for table in (root / folder).glob(end)
        ]
        subsets = {path.split("/")[0] for path in batch} & {table.parts[0] for table in tables}

        def read(folder: str, subsets: set[str] = subsets) -> dict[str, str]:
            manifests = prepare_libritts(folder, dataset_parts=sorted(subsets)).values()
            return {s.recording_id: s.text for m in manifests for s in m["supervisions"]}

        links = [*map(Path, batch), *tables]
        said = _by_recipe(corpus, links, {}, read) if subsets else {}
        for path in batch:
            if Path(path).stem in said:
                text, why = said[Path(path).stem], "its text in *.trans.tsv is empty"
            else:
                text, why = text_beside(root / path)
            parts = Path(path).parts  # subset/speaker/chapter/utterance.wav
            speaker = parts[-3] if len(parts) > 2 else "speaker"
            yield path, Transcript(text, speaker, corpus.languages[0]), why


def _of_ljspeech(corpus: CorpusConfig, paths: Iterable[str]) -> Said:
    table, speaker = corpus_root(corpus) / "metadata.csv", corpus.speaker or "LJ"

    def read(folder: str) -> dict[str, str]:
        segments = prepare_ljspeech(folder)["supervisions"]
        return {s.recording_id: s.custom["normalized_text"] for s in segments}

    for batch in _batches(paths):
        asked = {Path(path).stem.encode() for path in batch}
        written = {}
        if table.is_file():
            with open(table, "rb") as lines:  # those in question, and those in another form
                written["metadata.csv"] = b"".join(
                    line
                    for line in lines
                    if line.strip().split(b"|")[0] in asked or line.count(b"|") != 2
                )
        said = _by_recipe(corpus, list(map(Path, batch)), written, read)
        for path in batch:
            said_in_it = Transcript(said.get(Path(path).stem, ""), speaker, corpus.languages[0])
            yield path, said_in_it, "metadata.csv has no text for it"


READERS: dict[str, Callable[[CorpusConfig, Iterable[str]], Said]] = {
    "asterisk": _of_asterisk,
    "folder": _of_folder,
    "table": _of_table,
    "libritts": _of_libritts,
    "ljspeech": _of_ljspeech,
    "synthetic": _of_table,
}


def _batches(
    paths: Iterable[str], together: Callable[[str], str] = lambda path: path
) -> Iterator[list[str]]:
    """Lists of so many paths as a recipe is given; those `together` that are the same there."""
    batch: list[str] = []
    for path in paths:
        if len(batch) >= BATCH and together(path) != together(batch[-1]):
            yield batch
            batch = []
        batch.append(path)
    if batch:
        yield batch


def _by_recipe(
    corpus: CorpusConfig,
    links: list[Path],
    written: dict[str, bytes],
    read: Callable[[str], dict[str, str]],
) -> dict[str, str]:
    """Texts by recording, as a recipe of Lhotse's reads them from a folder laid out as the corpus.

    The recipes read every recording that they find and stop at a damaged one: they are shown
    those alone that are asked for. The folder has `links` to files of the corpus, and what is
    `written`.
    """
    root = corpus_root(corpus)
    with TemporaryDirectory() as folder:
        for file in links:
            link = Path(folder) / file
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((root / file).resolve())
        for name, content in written.items():
            (Path(folder) / name).write_bytes(content)
        try:
            return read(folder)
        except (AssertionError, OSError, ValueError) as error:
            raise ValueError(
                f"{root} is not laid out as a corpus of kind {corpus.kind}: {error}"
            ) from error


def text_beside(path: Path) -> tuple[str, str]:
    """The text in the file beside a recording, and what is wrong if there is none."""
    for suffix in TEXT_SUFFIXES:
        beside = path.with_suffix(suffix)
        if os.path.isfile(beside):  # False too where the name is too long to be there
            try:
                return beside.read_text("utf-8-sig"), f"{beside.name} is empty"
            except UnicodeDecodeError:
                return "", f"{beside.name} is not UTF-8"
    return "", f"has no transcript: neither {path.stem}.normalized.txt nor {path.stem}.txt is there"
