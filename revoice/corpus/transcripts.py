"""What is said in each recording of a corpus, by whom, in which language: by the corpus's kind."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from lhotse.recipes import prepare_libritts, prepare_ljspeech

from revoice.config import CorpusConfig
from revoice.corpus.naming import corpus_root
from revoice.corpus.table import read_table

TEXT_SUFFIXES = (".normalized.txt", ".txt")  # in the order of preference


class Transcript(NamedTuple):
    """What is said in a recording, by whom, in which language."""

    text: str
    speaker: str
    language: str


Said = Iterator[tuple[Transcript, str]]  # for each path, with why there is no text if it is ""


def transcripts(corpus: CorpusConfig, paths: Iterable[str]) -> dict[str, Transcript | str]:
    """The transcript of each file in `paths` (below the corpus root), or why there is none.

    Raises ValueError where the corpus is not laid out as its kind says.
    """
    paths = list(paths)
    found: dict[str, Transcript | str] = {}
    for path, (said, why) in zip(paths, READERS[corpus.kind](corpus, paths), strict=True):
        text = " ".join(said.text.split())
        if "\0" in text:
            text, why = "", "its text has null bytes: save it as UTF-8"
        found[path] = said._replace(text=text) if text else why
    return found


def _of_asterisk(corpus: CorpusConfig, paths: list[str]) -> Said:
    for path in paths:
        text, why = _text_beside(corpus_root(corpus) / path)
        language = path.split("/")[0]
        yield Transcript(text, f"asterisk-{language}", language), why


def _of_folder(corpus: CorpusConfig, paths: list[str]) -> Said:
    for path in (corpus_root(corpus) / path for path in paths):
        text, why = _text_beside(path)
        speaker = corpus.speaker or path.absolute().parent.name
        yield Transcript(text, speaker, corpus.languages[0]), why


def _of_table(corpus: CorpusConfig, paths: list[str]) -> Said:
    rows = {row["path"]: row for row in read_table(str(corpus.path))}
    for row in map(rows.__getitem__, paths):
        speaker = row.get("speaker") or corpus.speaker or "speaker"
        language = row.get("language") or corpus.languages[0]
        yield Transcript(row["text"], speaker, language), "its text in the table is empty"


def _of_libritts(corpus: CorpusConfig, paths: list[str]) -> Said:
    """By Lhotse's recipe where a subset has `*.trans.tsv`, else from beside each recording."""
    root = corpus_root(corpus)
    tables = [*root.rglob("*.trans.tsv"), *root.rglob("*.book.tsv")]
    subsets = {path.split("/")[0] for path in paths}
    subsets &= {table.relative_to(root).parts[0] for table in tables}

    def read(folder: str) -> dict[str, str]:
        manifests = prepare_libritts(folder, dataset_parts=sorted(subsets)).values()
        return {s.recording_id: s.text for m in manifests for s in m["supervisions"]}

    said = _by_recipe(corpus, paths, tables, read) if subsets else {}
    for path in map(Path, paths):
        if path.stem in said:
            text, why = said[path.stem], "its text in *.trans.tsv is empty"
        else:
            text, why = _text_beside(root / path)
        # subset/speaker/chapter/utterance.wav
        speaker = path.parts[-3] if len(path.parts) > 2 else "speaker"
        yield Transcript(text, speaker, corpus.languages[0]), why


def _of_ljspeech(corpus: CorpusConfig, paths: list[str]) -> Said:
    def read(folder: str) -> dict[str, str]:
        segments = prepare_ljspeech(folder)["supervisions"]
        return {s.recording_id: s.custom["normalized_text"] for s in segments}

    tables, speaker = corpus_root(corpus).rglob("metadata.csv"), corpus.speaker or "LJ"
    said = _by_recipe(corpus, paths, tables, read) if paths else {}
    for path in paths:
        said_in_it = Transcript(said.get(Path(path).stem, ""), speaker, corpus.languages[0])
        yield said_in_it, "metadata.csv has no text for it"


READERS: dict[str, Callable[[CorpusConfig, list[str]], Said]] = {
    "asterisk": _of_asterisk,
    "folder": _of_folder,
    "table": _of_table,
    "libritts": _of_libritts,
    "ljspeech": _of_ljspeech,
    "synthetic": _of_table,
}


def _by_recipe(
    corpus: CorpusConfig,
    paths: list[str],
    tables: Iterable[Path],
    read: Callable[[str], dict[str, str]],
) -> dict[str, str]:
    """Texts by recording, as a recipe of Lhotse's reads them from a folder laid out as the corpus.

    The recipes read every recording that they find and stop at a damaged one: they are shown
    those alone that are asked for.
    """
    root = corpus_root(corpus)
    with TemporaryDirectory() as folder:
        for file in [*map(Path, paths), *(table.relative_to(root) for table in tables)]:
            link = Path(folder) / file
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((root / file).resolve())
        try:
            return read(folder)
        except (AssertionError, OSError, ValueError) as error:
            raise ValueError(
                f"{root} is not laid out as a corpus of kind {corpus.kind}: {error}"
            ) from error


def _text_beside(path: Path) -> tuple[str, str]:
    """The text in the file beside a recording, and what is wrong if there is none."""
    for suffix in TEXT_SUFFIXES:
        beside = path.with_suffix(suffix)
        if os.path.isfile(beside):  # False too where the name is too long to be there
            try:
                return beside.read_text("utf-8-sig"), f"{beside.name} is empty"
            except UnicodeDecodeError:
                return "", f"{beside.name} is not UTF-8"
    return "", f"has no transcript: neither {path.stem}.normalized.txt nor {path.stem}.txt is there"
