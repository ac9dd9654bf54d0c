"""A book in the voice of a model: a job for each chapter, and again what has changed alone."""

import json
from pathlib import Path
from typing import Any

import pytest
import soundfile
import yaml

from revoice.speaking.talker import Talker
from tests.workflow.conftest import Finished, Snakemake

BOOK = "results/tiny/spoken/book.flac"
CHAPTERS = {"01-start": "Seven. One, nine.\n\nFour?", "02 end": "Eight! And that is all."}


@pytest.fixture
def book(restored: Finished) -> Finished:
    """The finished run with a book of two chapters."""
    texts = restored.folder / "book"
    texts.mkdir()
    for name, text in CHAPTERS.items():
        (texts / f"{name}.txt").write_text(text, "utf-8")
    speak: dict[str, Any] = {"book": {"texts": ["book/*.txt"], "retries": 0, "pause": 1.0}}
    change(restored.folder, speak=speak, synthesis={"best_of": 1, "sentences": 2})
    return restored


def change(folder: Path, **sections: Any) -> None:
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text("utf-8"))
    for name, values in sections.items():
        config[name] = {**config.get(name, {}), **values}
    path.write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")


def spoken(book: Finished) -> list[dict[str, Any]]:
    """The reports of the chapters."""
    folder = book.folder / "results/tiny/spoken/book"
    return [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]


def test_a_finished_model_has_voices(finished: Finished) -> None:
    talker = Talker.load(finished.folder / "results/tiny", "cpu")
    assert talker.voices
    assert talker.languages == ["en"]
    voice = talker.voices[0]
    assert voice.dnsmos is not None
    assert voice.dnsmos >= max(v.dnsmos or 0 for v in talker.voices if v.speaker == voice.speaker)
    for name in (each.name for each in talker.voices):
        assert sum(talker.voice(name).lasting or ()) in (0, len(talker.voice(name).codes))


def test_a_book(book: Finished, snakemake: Snakemake) -> None:
    run = snakemake(book.folder, BOOK, project=book.project)
    told = ["tell tiny/book/01-start", "tell tiny/book/02_end"]
    assert run.succeeded().jobs == ["bind tiny/book", *told]
    first, second = spoken(book)
    assert [row["text"] for row in first["pieces"]] == ["Seven. One, nine.", "Four?"]
    assert first["text"] == "book/01-start.txt"
    whole = soundfile.info(str(book.folder / BOOK)).duration
    assert whole == pytest.approx(first["seconds"] + second["seconds"] + 1.0, abs=0.01)
    with soundfile.SoundFile(book.folder / BOOK) as file:
        assert "Synthetic speech" in file.comment
    assert not list((book.folder / "work/spoken").glob("**/*.npz")), "nothing is left"

    assert snakemake(book.folder, BOOK, project=book.project).succeeded().jobs == []
    (book.folder / "book" / "02 end.txt").write_text("Nine!", "utf-8")
    run = snakemake(book.folder, BOOK, project=book.project)
    assert run.succeeded().jobs == ["bind tiny/book", told[1]], "the other chapter stays"
    change(book.folder, speak={"book": {"texts": ["book/*.txt"], "retries": 0, "pause": 2.0}})
    run = snakemake(book.folder, BOOK, project=book.project)
    assert run.succeeded().jobs == ["bind tiny/book"]


def test_what_a_model_cannot_say(book: Finished, snakemake: Snakemake) -> None:
    (book.folder / "book" / "02 end.txt").write_text("Привет!", "utf-8")
    run = snakemake(book.folder, BOOK, project=book.project)
    assert run.returncode != 0
    assert "book/02 end.txt: line 1 (“Привет!”) is in Cyrillic letters" in run.output
    assert (book.folder / "results/tiny/spoken/book/01-start.flac").exists(), "it is kept"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["none/*.txt"], "speak.book.texts: no file matches none/*.txt"),
        (["a/x.txt", "b/x.txt"], "a/x.txt and b/x.txt would both be chapter x: rename one"),
        ([], "speak.book.texts"),
    ],
)
def test_chapters_that_cannot_be(
    book: Finished, snakemake: Snakemake, texts: list[str], message: str
) -> None:
    change(book.folder, speak={"book": {"texts": texts}})
    run = snakemake(book.folder, "-n", BOOK, project=book.project)
    assert run.returncode != 0
    assert message in run.output
    assert "Traceback (most recent call last)" not in run.output
