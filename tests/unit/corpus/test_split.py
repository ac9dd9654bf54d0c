"""Splits: shares of texts, whole speakers, LibriTTS's subsets."""

from collections import Counter
from typing import Any

import pytest

from revoice.config import CorpusConfig, Split, SplitConfig
from revoice.corpus.split import _position, split_of, text_key
from revoice.corpus.transcripts import Transcript

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


def splits_of(
    said: dict[str, Transcript], corpus: CorpusConfig, config: SplitConfig
) -> dict[str, Split | None]:
    split = split_of(said.items, corpus, config)
    return {path: split(path, transcript) for path, transcript in said.items()}


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
    splits = splits_of(said, FOLDER, config)
    texts = split_texts(said, splits)
    assert set(splits) == set(said)
    assert len(texts["test"]) == pytest.approx(200, abs=50)
    assert len(texts["dev"]) == pytest.approx(100, abs=40)
    assert not texts["test"] & texts["train"]
    assert not texts["dev"] & texts["train"]
    assert not texts["dev"] & texts["test"]
    assert splits == splits_of(said, FOLDER, config)
    assert splits != splits_of(said, FOLDER, config.model_copy(update={"seed": seed + 1}))


def test_texts_that_differ_in_case_and_punctuation_stay_together() -> None:
    said = {f"{n}.wav": Transcript(f"sentence {n}", "s", "en") for n in range(200)}
    said |= {f"{n}-again.wav": Transcript(f"Sentence, {n}!", "s", "en") for n in range(200)}
    splits = splits_of(said, FOLDER, SplitConfig(dev=0.2, test=0.2))
    assert all(splits[f"{n}.wav"] == splits[f"{n}-again.wav"] for n in range(200))


@pytest.mark.parametrize("by", ["text", "speaker"])
def test_splits_stay_when_recordings_are_added(by: str) -> None:
    config = SplitConfig.model_validate({"by": by, "dev": 0.1, "test": 0.1})
    said = said_by(500, speakers=50)
    before = splits_of(said, FOLDER, config)
    assert set(before.values()) == {"train", "dev", "test"}
    after = splits_of(said | said_by(900, speakers=90, folder="b"), FOLDER, config)
    assert {path: after[path] for path in before} == before


@pytest.mark.parametrize(("count", "splits"), [(3, {"train", "dev", "test"}), (1, {"train"})])
def test_few_texts(count: int, splits: set[str]) -> None:
    for seed in range(20):
        config = SplitConfig(dev=0.01, test=0.01, seed=seed)
        assert set(splits_of(said_by(count), FOLDER, config).values()) == splits


@pytest.mark.parametrize("share", [0, 0.001, 0.05, 0.4])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7, 60])
def test_few_texts_are_shared_as_if_all_were_sorted(count: int, share: float) -> None:
    said = said_by(count)
    for seed in range(20):
        config = SplitConfig(dev=share, test=share / 2, seed=seed)
        ordered = sorted(_position(seed, text_key(t.text)) for t in said.values())
        test = [p for p in ordered if p < config.test]
        test = test or ordered[:1] * bool(config.test and len(ordered) > 2)
        rest = [p for p in ordered if p not in test]
        dev = [p for p in rest if p < config.test + config.dev]
        dev = dev or rest[:1] * bool(config.dev and len(rest) > 1)
        found = Counter(splits_of(said, FOLDER, config).values())
        assert [found["test"], found["dev"]] == [len(test), len(dev)]


def test_shares_of_nothing() -> None:
    splits = splits_of(said_by(300), FOLDER, SplitConfig(dev=0, test=0))
    assert set(splits.values()) == {"train"}


@pytest.mark.parametrize("seed", range(5))
def test_whole_speakers(seed: int) -> None:
    said = said_by(2000, speakers=100)
    splits = splits_of(said, FOLDER, SplitConfig(by="speaker", dev=0.1, test=0.1, seed=seed))
    speakers: dict[str, set[str]] = {}
    for path, split in splits.items():
        speakers.setdefault(said[path].speaker, set()).add(str(split))
    assert all(len(of) == 1 for of in speakers.values())
    assert Counter(next(iter(of)) for of in speakers.values())["test"] >= 1
    assert set(splits.values()) == {"train", "dev", "test"}


def test_named_speakers_and_their_texts() -> None:
    said = said_by(300, speakers=3, texts=250)  # the last 50 repeat texts of the first 50
    config = SplitConfig(by="speaker", dev_speakers=["s1"], test_speakers=["s2"])
    splits = splits_of(said, FOLDER, config)
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
def test_subsets_of_libritts_as_splits(parts: tuple[str, ...]) -> None:
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
    splits = splits_of(said, config, SplitConfig(dev=0.2, test=0.2))
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


def test_by_recording_a_text_may_be_in_one_split_alone() -> None:
    """Files are drawn, whatever is said in them; of a text that is in test none is in train."""
    said = said_by(300, texts=100)
    config = SplitConfig(by="recording", dev=0.1, test=0.1)
    splits = splits_of(said, FOLDER, config)
    assert {"train", "dev", "test", None} == set(splits.values())
    texts = split_texts(said, splits)
    assert not texts["train"] & texts["test"]
    lengths = Counter(splits.values())
    assert 15 < lengths["test"] < 45
    more = said | said_by(10, folder="b")
    after = splits_of(more, FOLDER, config)
    moved = [
        path
        for path in said
        if after[path] != splits[path] and None not in (after[path], splits[path])
    ]
    assert moved == []


def test_by_nothing_named_is_by_text() -> None:
    said = said_by(300, texts=100)
    assert splits_of(said, FOLDER, SplitConfig()) == splits_of(said, FOLDER, SplitConfig(by="text"))
