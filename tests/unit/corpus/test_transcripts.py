"""What is said in each recording, by the kind of corpus."""

from pathlib import Path

import pytest

from revoice.config import CorpusConfig
from revoice.corpus.index import scan
from revoice.corpus.transcripts import Transcript, transcripts
from tests.helpers.recorded import speak, write


def test_transcripts_beside_the_recordings(tmp_path: Path) -> None:
    write(tmp_path / "amy" / "a.txt", "\ufeffHello\nworld \r\n")
    write(tmp_path / "amy" / "b.c.txt", "raw, 3 of them")
    write(tmp_path / "amy" / "b.c.normalized.txt", "raw, three of them")
    write(tmp_path / "bob" / "d.txt", "  \n")
    write(tmp_path / "bob" / "e.txt", b"caf\xe9")
    config = CorpusConfig(kind="folder", path=str(tmp_path), languages=["fr"])
    paths = ["amy/a.wav", "amy/b.c.flac", "bob/d.wav", "bob/e.wav", "bob/f.wav"]
    assert dict(transcripts(config, paths)) == {
        "amy/a.wav": Transcript("Hello world", "amy", "fr"),
        "amy/b.c.flac": Transcript("raw, three of them", "amy", "fr"),
        "bob/d.wav": "d.txt is empty",
        "bob/e.wav": "e.txt is not UTF-8",
        "bob/f.wav": "has no transcript: neither f.normalized.txt nor f.txt is there",
    }
    one = config.model_copy(update={"speaker": "me"})
    assert dict(transcripts(one, ["amy/a.wav"])) == {
        "amy/a.wav": Transcript("Hello world", "me", "fr")
    }


def test_files_at_the_top_are_named_after_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "amy"
    write(folder / "a.txt", "Hello")
    monkeypatch.chdir(folder)
    for path in (str(folder), "."):
        config = CorpusConfig(kind="folder", path=path)
        assert dict(transcripts(config, ["a.wav"])) == {"a.wav": Transcript("Hello", "amy", "en")}


def test_transcripts_of_a_table(tmp_path: Path) -> None:
    rows = [
        "path,text,speaker,language",
        './a.wav,"Hello, you",amy,',
        "b.wav,Bonjour,,fr",
        "c.wav,,amy,en",
    ]
    write(tmp_path / "list.csv", "\n".join(rows))
    config = CorpusConfig(kind="table", path=str(tmp_path / "list.csv"), languages=["de"])
    paths = [file.path for file in scan(config)[0]]
    assert dict(transcripts(config, paths)) == {
        "a.wav": Transcript("Hello, you", "amy", "de"),
        "b.wav": Transcript("Bonjour", "speaker", "fr"),
        "c.wav": "its text in the table is empty",
    }


def test_default_corpus_has_a_speaker_per_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for language in ("en", "fr"):
        write(tmp_path / "data" / "asterisk" / language / "digits" / "1.txt", "one")
    config = CorpusConfig(kind="asterisk", languages=["en", "fr"])
    found = dict(transcripts(config, ["en/digits/1.g722", "fr/digits/1.g722"]))
    assert found["en/digits/1.g722"] == Transcript("one", "asterisk-en", "en")
    assert found["fr/digits/1.g722"] == Transcript("one", "asterisk-fr", "fr")


def test_ljspeech(tmp_path: Path) -> None:
    metadata = ["LJ-1|Dr. A|Doctor A ", "LJ-2|B|", "LJ-4|gone|gone"]
    write(tmp_path / "metadata.csv", "\n".join(metadata))
    for name in ("LJ-1", "LJ-2", "LJ-3"):
        speak(tmp_path / "wavs" / f"{name}.wav")
    write(tmp_path / "wavs" / "LJ-4.wav", "damaged, and not asked for")
    config = CorpusConfig(kind="ljspeech", path=str(tmp_path))
    paths = [f"wavs/LJ-{n}.wav" for n in (1, 2, 3)]
    assert dict(transcripts(config, paths)) == {
        "wavs/LJ-1.wav": Transcript("Doctor A", "LJ", "en"),
        "wavs/LJ-2.wav": "metadata.csv has no text for it",
        "wavs/LJ-3.wav": "metadata.csv has no text for it",
    }
    assert dict(transcripts(config, [])) == {}


def test_ljspeech_without_or_with_broken_metadata(tmp_path: Path) -> None:
    speak(tmp_path / "wavs" / "a.wav")
    config = CorpusConfig(kind="ljspeech", path=str(tmp_path))
    with pytest.raises(ValueError, match=r"is not laid out as .* ljspeech: No such file.*metadata"):
        dict(transcripts(config, ["wavs/a.wav"]))
    write(tmp_path / "metadata.csv", "a,Hello\n")
    with pytest.raises(ValueError, match="is not laid out as a corpus of kind ljspeech"):
        dict(transcripts(config, ["wavs/a.wav"]))


@pytest.mark.parametrize("tables", [False, True])
def test_libritts_with_and_without_its_tables(tmp_path: Path, tables: bool) -> None:
    chapter = tmp_path / "dev-clean" / "84" / "121"
    ids = ["84_121_000000_000000", "84_121_000001_000000"]
    for name in ids:
        speak(chapter / f"{name}.wav")
        write(chapter / f"{name}.normalized.txt", f"beside {name}")
    write(chapter / "84_121_000002_000000.wav", "damaged, and not asked for")
    if tables:
        # one utterance stands in the tables, the other beside its recording alone
        write(chapter / "84_121.trans.tsv", f"{ids[0]}\tIn 1 table.\tIn one table.\n")
        write(chapter / "84_121.book.tsv", f"{ids[0]}\tIn 1 table.\t12.5\n")
    config = CorpusConfig(kind="libritts", path=str(tmp_path))
    paths = [f"dev-clean/84/121/{name}.wav" for name in ids]
    assert dict(transcripts(config, paths)) == {
        paths[0]: Transcript("In one table." if tables else f"beside {ids[0]}", "84", "en"),
        paths[1]: Transcript(f"beside {ids[1]}", "84", "en"),
    }
