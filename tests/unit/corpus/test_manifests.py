"""Manifests: transcripts, splits, and what Lhotse makes of the files written."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from lhotse import CutSet, RecordingSet, SupervisionSet, validate
from lhotse.qa import validate_recordings_and_supervisions

from revoice.config import AudioConfig, CorpusConfig, SplitConfig
from revoice.corpus.audio import SAMPLE_RATE, recordings_of, resample
from revoice.corpus.index import scan
from revoice.corpus.manifests import Rejected, write_manifests
from revoice.corpus.split import split_of, text_key
from revoice.corpus.transcripts import Transcript, transcripts
from revoice.files import atomic

FOLDER = CorpusConfig(kind="folder", path="unused")


def said_by(
    count: int, speakers: int = 1, texts: int | None = None, folder: str = "a"
) -> dict[str, Transcript]:
    """Transcripts of made-up recordings, each text said `count / texts` times."""
    return {
        f"{folder}/{n}.wav": Transcript(
            f"Sentence {n % (texts or count)} of {folder}.", f"s{n % speakers}", "en"
        )
        for n in range(count)
    }


def split_texts(said: dict[str, Transcript], splits: dict[str, Any]) -> dict[str, set[str]]:
    return {
        split: {text_key(said[path].text) for path, of in splits.items() if of == split}
        for split in ("train", "dev", "test")
    }


def test_same_words_are_the_same_text() -> None:
    assert text_key("Hello, World!") == text_key("hello   world")
    assert text_key("Straße") == text_key("STRASSE")
    assert text_key("你好。") == text_key("你好")
    assert text_key("Hello") != text_key("Yellow")


@pytest.mark.parametrize("seed", range(5))
def test_shares_of_texts(seed: int) -> None:
    said = said_by(3000, texts=1000)
    config = SplitConfig(dev=0.1, test=0.2, seed=seed)
    splits = split_of(said, FOLDER, config)
    texts = split_texts(said, splits)
    assert set(splits) == set(said)
    assert len(texts["test"]) == pytest.approx(200, abs=50)
    assert len(texts["dev"]) == pytest.approx(100, abs=40)
    assert not texts["test"] & texts["train"]
    assert not texts["dev"] & texts["train"]
    assert not texts["dev"] & texts["test"]
    assert splits == split_of(said, FOLDER, config)
    assert splits != split_of(said, FOLDER, config.model_copy(update={"seed": seed + 1}))


def test_texts_that_differ_in_case_and_punctuation_stay_together() -> None:
    said = {f"{n}.wav": Transcript(f"sentence {n}", "s", "en") for n in range(200)}
    said |= {f"{n}-again.wav": Transcript(f"Sentence, {n}!", "s", "en") for n in range(200)}
    splits = split_of(said, FOLDER, SplitConfig(dev=0.2, test=0.2))
    assert all(splits[f"{n}.wav"] == splits[f"{n}-again.wav"] for n in range(200))


@pytest.mark.parametrize("by", ["text", "speaker"])
def test_splits_stay_when_recordings_are_added(by: str) -> None:
    config = SplitConfig.model_validate({"by": by, "dev": 0.1, "test": 0.1})
    said = said_by(500, speakers=50)
    before = split_of(said, FOLDER, config)
    assert set(before.values()) == {"train", "dev", "test"}
    after = split_of(said | said_by(900, speakers=90, folder="b"), FOLDER, config)
    assert {path: after[path] for path in before} == before


@pytest.mark.parametrize(("count", "splits"), [(3, {"train", "dev", "test"}), (1, {"train"})])
def test_few_texts(count: int, splits: set[str]) -> None:
    for seed in range(20):
        config = SplitConfig(dev=0.01, test=0.01, seed=seed)
        assert set(split_of(said_by(count), FOLDER, config).values()) == splits


def test_shares_of_nothing() -> None:
    splits = split_of(said_by(300), FOLDER, SplitConfig(dev=0, test=0))
    assert set(splits.values()) == {"train"}


@pytest.mark.parametrize("seed", range(5))
def test_whole_speakers(seed: int) -> None:
    said = said_by(2000, speakers=100)
    splits = split_of(said, FOLDER, SplitConfig(by="speaker", dev=0.1, test=0.1, seed=seed))
    speakers: dict[str, set[str]] = {}
    for path, split in splits.items():
        speakers.setdefault(said[path].speaker, set()).add(str(split))
    assert all(len(of) == 1 for of in speakers.values())
    assert Counter(next(iter(of)) for of in speakers.values())["test"] >= 1
    assert set(splits.values()) == {"train", "dev", "test"}


def test_named_speakers_and_their_texts() -> None:
    said = said_by(300, speakers=3, texts=250)  # the last 50 repeat texts of the first 50
    config = SplitConfig(by="speaker", dev_speakers=["s1"], test_speakers=["s2"])
    splits = split_of(said, FOLDER, config)
    test_texts = {text_key(t.text) for t in said.values() if t.speaker == "s2"}
    for path, transcript in said.items():
        if transcript.speaker == "s2":
            assert splits[path] == "test"
        elif transcript.speaker == "s1":
            assert splits[path] == "dev"
        else:
            assert splits[path] == (None if text_key(transcript.text) in test_texts else "train")
    assert None in splits.values()


@pytest.mark.parametrize("parts", [("dev-clean", "test-clean"), ("test-clean",)])
def test_parts_of_libritts_as_splits(parts: tuple[str, ...]) -> None:
    said: dict[str, Transcript] = {}
    for part in ("train-clean-100", "dev-clean", "test-clean"):
        said |= {
            f"{part}/{path}": Transcript(f"{part} {t.text}", *t[1:])
            for path, t in said_by(100).items()
        }
    said["train-clean-100/a/same.wav"] = said["test-clean/a/0.wav"]
    config = CorpusConfig.model_validate(
        {"kind": "libritts", "path": "x", "splits": {part: part.split("-")[0] for part in parts}}
    )
    splits = split_of(said, config, SplitConfig(dev=0.2, test=0.2))
    assert splits.pop("train-clean-100/a/same.wav") is None
    found = {
        part: {split for path, split in splits.items() if path.startswith(part)}
        for part in ("train-clean-100", "dev-clean", "test-clean")
    }
    assert found["test-clean"] == {"test"}
    if "dev-clean" in parts:
        assert found["dev-clean"] == {"dev"}
        assert found["train-clean-100"] == {"train"}
    else:  # a share of what is left for train
        assert found["train-clean-100"] == found["dev-clean"] == {"train", "dev"}


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def speak(path: Path, seconds: float = 0.5, rate: int = SAMPLE_RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(len(path.name)).standard_normal(round(seconds * rate))
    soundfile.write(path, samples, rate)


def test_transcripts_beside_the_recordings(tmp_path: Path) -> None:
    write(tmp_path / "amy" / "a.txt", "\ufeffHello\nworld \r\n")
    write(tmp_path / "amy" / "b.c.txt", "raw, 3 of them")
    write(tmp_path / "amy" / "b.c.normalized.txt", "raw, three of them")
    write(tmp_path / "bob" / "d.txt", "  \n")
    write(tmp_path / "bob" / "e.txt", b"caf\xe9")
    config = CorpusConfig(kind="folder", path=str(tmp_path), languages=["fr"])
    paths = ["amy/a.wav", "amy/b.c.flac", "bob/d.wav", "bob/e.wav", "bob/f.wav"]
    assert transcripts(config, paths) == {
        "amy/a.wav": Transcript("Hello world", "amy", "fr"),
        "amy/b.c.flac": Transcript("raw, three of them", "amy", "fr"),
        "bob/d.wav": "d.txt is empty",
        "bob/e.wav": "e.txt is not UTF-8",
        "bob/f.wav": "has no transcript: neither f.normalized.txt nor f.txt is there",
    }
    one = config.model_copy(update={"speaker": "me"})
    assert transcripts(one, ["amy/a.wav"])["amy/a.wav"] == Transcript("Hello world", "me", "fr")


def test_files_at_the_top_are_named_after_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "amy"
    write(folder / "a.txt", "Hello")
    monkeypatch.chdir(folder)
    for path in (str(folder), "."):
        config = CorpusConfig(kind="folder", path=path)
        assert transcripts(config, ["a.wav"]) == {"a.wav": Transcript("Hello", "amy", "en")}


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
    assert transcripts(config, paths) == {
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
    found = transcripts(config, ["en/digits/1.g722", "fr/digits/1.g722"])
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
    assert transcripts(config, paths) == {
        "wavs/LJ-1.wav": Transcript("Doctor A", "LJ", "en"),
        "wavs/LJ-2.wav": "metadata.csv has no text for it",
        "wavs/LJ-3.wav": "metadata.csv has no text for it",
    }
    assert transcripts(config, []) == {}


def test_ljspeech_without_or_with_broken_metadata(tmp_path: Path) -> None:
    speak(tmp_path / "wavs" / "a.wav")
    config = CorpusConfig(kind="ljspeech", path=str(tmp_path))
    with pytest.raises(ValueError, match=r"is not laid out as .* ljspeech: No such file.*metadata"):
        transcripts(config, ["wavs/a.wav"])
    write(tmp_path / "metadata.csv", "a,Hello\n")
    with pytest.raises(ValueError, match="is not laid out as a corpus of kind ljspeech"):
        transcripts(config, ["wavs/a.wav"])


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
    assert transcripts(config, paths) == {
        paths[0]: Transcript("In one table." if tables else f"beside {ids[0]}", "84", "en"),
        paths[1]: Transcript(f"beside {ids[1]}", "84", "en"),
    }


def prepared(
    tmp_path: Path, corpus: CorpusConfig, root: Path, shards: int = 2
) -> dict[str, tuple[Path, dict[str, str]]]:
    """Resample a corpus in some shards, as `write_manifests` wants them."""
    paths = [file.path for file in scan(corpus)[0]]
    found = {}
    for number in range(shards):
        name = f"s{number}"
        sources = resample(
            "mine", paths[number::shards], root, tmp_path / "audio" / name, AudioConfig()
        )
        table = tmp_path / "audio" / f"{name}.jsonl.gz"
        with atomic(table) as temporary:
            recordings_of(sources, tmp_path / "audio" / name).to_file(temporary)
        found[name] = (table, {s.id: s.path for s in sources if not s.reason})
    return found


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    root = tmp_path / "recordings"
    for number in range(12):
        rate = SAMPLE_RATE if number % 2 else 16000
        speak(root / f"amy{number % 3}" / f"{number}.wav", 0.3 + number / 20, rate)
        write(root / f"amy{number % 3}" / f"{number}.txt", f"Sentence {number}.")
    return root


def load(folder: Path) -> dict[str, CutSet]:
    files = {split: folder / f"cuts_{split}.jsonl.gz" for split in ("train", "dev", "test")}
    return {split: CutSet.from_jsonl_lazy(path) for split, path in files.items()}


def test_manifests_are_lhotse_s(tmp_path: Path, recordings: Path) -> None:
    corpus = CorpusConfig(kind="folder", path=str(recordings), languages=["de"])
    shards = prepared(tmp_path, corpus, recordings)
    rejected = write_manifests("mine", corpus, SplitConfig(dev=0.2, test=0.2), shards, tmp_path)
    assert rejected == []
    recording_set = RecordingSet.from_file(tmp_path / "recordings.jsonl.gz")
    supervision_set = SupervisionSet.from_file(tmp_path / "supervisions.jsonl.gz")
    assert len(recording_set) == len(supervision_set) == 12
    validate_recordings_and_supervisions(recording_set, supervision_set, read_data=True)
    cuts = [cut for split in load(tmp_path).values() for cut in split]
    assert sorted(cut.id for cut in cuts) == sorted(recording_set.ids)
    validate(CutSet.from_cuts(cuts), read_data=True)
    for cut in cuts:
        audio = cut.load_audio()
        assert (cut.sampling_rate, audio.shape) == (SAMPLE_RATE, (1, cut.num_samples))
        assert cut.duration == cut.recording.duration
        (supervision,) = cut.supervisions
        number = cut.id.rsplit("-")[-1]
        assert supervision.text == f"Sentence {number}."
        assert (supervision.language, supervision.speaker) == ("de", f"amy{int(number) % 3}")
        assert cut.duration == pytest.approx(0.3 + int(number) / 20, abs=0.01)
        assert cut.id in shards[cut.shard.removeprefix("mine/")][1]
    assert all(len(list(split)) > 0 for split in load(tmp_path).values())


def test_bad_transcripts_are_rejected_with_their_reasons(tmp_path: Path, recordings: Path) -> None:
    corpus = CorpusConfig(kind="folder", path=str(recordings))
    (recordings / "amy0" / "0.txt").unlink()
    write(recordings / "amy1" / "1.txt", "")
    write(recordings / "amy2" / "2.txt", b"\xff\xfeH\0i\0")
    shards = prepared(tmp_path, corpus, recordings)
    rejected = write_manifests("mine", corpus, SplitConfig(), shards, tmp_path)
    reasons = {row.path: row.reason for row in rejected}
    assert set(reasons) == {"amy0/0.wav", "amy1/1.wav", "amy2/2.wav"}
    assert reasons["amy0/0.wav"].startswith("has no transcript")
    assert reasons["amy1/1.wav"] == "1.txt is empty"
    assert reasons["amy2/2.wav"] == "2.txt is not UTF-8"
    assert sum(len(list(split)) for split in load(tmp_path).values()) == 9
    with pytest.raises(ValueError, match=r"3 recordings have no usable transcript, first amy") as e:
        write_manifests("mine", corpus, SplitConfig(), shards, tmp_path / "strict", strict=True)
    assert "audio.strict" in str(e.value)
    assert not (tmp_path / "strict").exists() or not list((tmp_path / "strict").iterdir())


def test_what_repeats_the_test_split_is_listed(tmp_path: Path, recordings: Path) -> None:
    corpus = CorpusConfig(kind="folder", path=str(recordings))
    write(recordings / "amy0" / "0.txt", "The same.")
    write(recordings / "amy1" / "1.txt", "the same")
    config = SplitConfig(by="speaker", test_speakers=["amy1"])
    shards = prepared(tmp_path, corpus, recordings)
    rejected = write_manifests("mine", corpus, config, shards, tmp_path)
    assert rejected == [
        Rejected("amy0/0.wav", "its text is in the test split, and must not be trained on")
    ]
    cuts = load(tmp_path)
    assert {cut.supervisions[0].speaker for cut in cuts["test"]} == {"amy1"}
    assert {cut.supervisions[0].speaker for cut in cuts["train"]} == {"amy0", "amy2"}
    assert len(list(cuts["train"])) == 7
    assert len(list(cuts["dev"])) == 0


def test_a_shard_of_which_nothing_is_left(tmp_path: Path, recordings: Path) -> None:
    corpus = CorpusConfig(kind="folder", path=str(recordings))
    shards = prepared(tmp_path, corpus, recordings)
    for path in [file.path for file in scan(corpus)[0]][1::2]:
        (recordings / path).write_bytes(b"")
    shards = prepared(tmp_path, corpus, recordings)
    assert shards["s1"][1] == {}
    assert write_manifests("mine", corpus, SplitConfig(), shards, tmp_path) == []
    assert len(RecordingSet.from_file(tmp_path / "recordings.jsonl.gz")) == 6


def test_nothing_left_at_all(tmp_path: Path, recordings: Path) -> None:
    corpus = CorpusConfig(kind="folder", path=str(recordings))
    for path in recordings.rglob("*.txt"):
        path.unlink()
    shards = prepared(tmp_path, corpus, recordings)
    with pytest.raises(ValueError, match=r"corpora\.mine: no recording .*(?s:.)*has no transcript"):
        write_manifests("mine", corpus, SplitConfig(), shards, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(("kind", "name"), [("libritts", "LibriTTS"), ("ljspeech", "LJSpeech-1.1")])
def test_real_layouts(spoken: Path, tmp_path: Path, kind: str, name: str) -> None:
    root = spoken / name
    corpus = CorpusConfig.model_validate({"kind": kind, "path": str(root)})
    shards = prepared(tmp_path, corpus, root, shards=1)
    assert write_manifests("mine", corpus, SplitConfig(dev=0, test=0), shards, tmp_path) == []
    cuts = list(load(tmp_path)["train"])
    assert len(cuts) == len(list(root.rglob("*.wav")))
    for cut in cuts:
        assert cut.load_audio().shape == (1, cut.num_samples)
        text = cut.supervisions[0].text
        assert len(text) > 10
        if kind == "libritts":
            path = root / shards["s0"][1][cut.id]
            assert text == path.with_suffix(".normalized.txt").read_text("utf-8").strip()
            assert cut.supervisions[0].speaker == path.parts[-3]
        else:
            assert text in (root / "metadata.csv").read_text("utf-8")


def test_real_digits_by_whole_speakers(spoken: Path, tmp_path: Path) -> None:
    root = tmp_path / "digits"
    words = dict(enumerate("zero one two three four five six seven eight nine".split()))
    for file in sorted((spoken / "digits").glob("*_*_0.wav")):
        digit, speaker, _ = file.stem.split("_")
        (root / speaker).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, root / speaker / file.name)
        write(root / speaker / f"{file.stem}.txt", words[int(digit)])
    corpus = CorpusConfig(kind="folder", path=str(root))
    speakers = sorted(path.name for path in root.iterdir())
    shards = prepared(tmp_path, corpus, root)
    config = SplitConfig(by="speaker", dev_speakers=speakers[1:2], test_speakers=speakers[:1])
    rejected = write_manifests("mine", corpus, config, shards, tmp_path)
    cuts = {split: list(of) for split, of in load(tmp_path).items()}
    assert {cut.supervisions[0].speaker for cut in cuts["test"]} == set(speakers[:1])
    assert {cut.supervisions[0].speaker for cut in cuts["dev"]} == set(speakers[1:2])
    assert cuts["train"] == [], "every speaker says the same digits"
    assert len(rejected) == len(list(root.rglob("*.wav"))) - len(cuts["test"]) - len(cuts["dev"])
