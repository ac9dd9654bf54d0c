"""Speakers told apart by embeddings: some made up, some of voices."""

from pathlib import Path

import librosa
import numpy as np
import pytest
from numpy.typing import NDArray

from revoice.recordings import diarize as module
from revoice.recordings.assess import embedding
from revoice.recordings.diarize import speakers_table, tell_apart

THRESHOLD = 0.31
Embeddings = NDArray[np.float32]
Labels = NDArray[np.int64]


def said(speakers: list[int], spread: float = 0.3, seed: int = 1) -> Embeddings:
    """Embeddings of segments of these speakers, any two of whom are as different as can be."""
    drawn = np.random.default_rng(seed).normal(size=(len(speakers), 256)) / 16
    vectors = np.eye(256)[speakers] + spread * drawn
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_voices_in_turn_are_told_apart() -> None:
    turns = [0, 1, 2, 1, 0, 2, 0, 0, 1] * 20
    seconds = np.full(len(turns), 4.0)
    labels = tell_apart(said(turns), seconds, THRESHOLD)
    assert labels.dtype == np.int64
    assert labels.tolist() == turns


def test_one_voice_stays_one() -> None:
    assert not tell_apart(said([0] * 100), np.full(100, 5.0), THRESHOLD).any()
    assert tell_apart(said([0]), np.array([5.0]), THRESHOLD).tolist() == [0]


def test_speakers_are_numbered_by_how_long_they_speak_and_then_by_time() -> None:
    turns = [0, 1, 2, 3]
    assert tell_apart(said(turns), [10, 20, 15, 20], THRESHOLD).tolist() == [3, 0, 2, 1]
    assert tell_apart(said([7, 3, 5]), [20, 20, 20], THRESHOLD).tolist() == [0, 1, 2]


def test_another_order_gives_the_same_speakers() -> None:
    turns = np.array([0] * 30 + [1] * 20 + [2] * 10)
    shuffled = np.random.default_rng(2).permutation(len(turns))
    labels = tell_apart(said(list(turns))[shuffled], np.full(len(turns), 4.0), THRESHOLD)
    assert labels.tolist() == turns[shuffled].tolist()


def test_where_the_number_of_speakers_is_given_so_many_are_found() -> None:
    turns, seconds = [0, 1, 2] * 10, np.full(30, 5.0)
    assert tell_apart(said(turns), seconds, THRESHOLD, speakers=3).tolist() == turns
    assert set(tell_apart(said(turns), seconds, 1.9, speakers=2)) == {0, 1}
    assert set(tell_apart(said([0] * 30), seconds, THRESHOLD, speakers=4)) == {0, 1, 2, 3}
    assert not tell_apart(said(turns), seconds, THRESHOLD, speakers=1).any()
    assert tell_apart(said([0, 1]), [5, 4], THRESHOLD, speakers=3).tolist() == [0, 1]
    short = np.array([5, 1, 1])
    assert tell_apart(said([0, 1, 2]), short, THRESHOLD, speakers=3).tolist() == [0, 1, 2]


def test_short_segments_go_to_the_nearest_speaker() -> None:
    turns = [0, 1] * 20
    unclear = said(turns, spread=2, seed=3)
    seconds = np.array([5.0] * 40 + [1.0] * 40)
    labels = tell_apart(np.concatenate([said(turns), unclear]), seconds, THRESHOLD)
    assert labels.tolist() == turns * 2
    alone = tell_apart(said([0, 1, 0]), [1.2, 1.1, 1.5], THRESHOLD)
    assert alone.tolist() == [0, 1, 0], "there are no longer ones"


def test_who_says_next_to_nothing_is_no_speaker_unless_the_number_is_given() -> None:
    turns = [0, 1] * 60 + [2]
    likes_one = said(turns)
    likes_one[-1] = np.array([0.1, 0.6, 0.79] + [0] * 253)
    seconds = np.full(len(turns), 5.0)
    labels = tell_apart(likes_one, seconds, THRESHOLD)
    assert set(labels) == {0, 1}
    assert labels[-1] == labels[1] != labels[0]
    assert tell_apart(likes_one, seconds, THRESHOLD, speakers=3)[-1] == 2
    seconds[-1] = 12
    assert tell_apart(likes_one, seconds, THRESHOLD)[-1] == 2, "that is something"
    assert tell_apart(likes_one[-41:], np.full(41, 5.0), THRESHOLD)[-1] == 2, "of so little"
    everybody = list(range(60))
    assert len(set(tell_apart(said(everybody), np.full(60, 4.0), THRESHOLD))) == 60


@pytest.mark.parametrize("speakers", [None, 3])
def test_of_many_segments_some_are_clustered_and_the_rest_follows(
    speakers: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = [0, 1, 2] * 100
    monkeypatch.setattr(module, "MOST", 50)
    sizes: list[int] = []
    clusters = module._clusters

    def counting(embeddings: Embeddings, threshold: float, number: int | None) -> Labels:
        sizes.append(len(embeddings))
        return clusters(embeddings, threshold, number)

    monkeypatch.setattr(module, "_clusters", counting)
    for seed in (1, 1, 2):
        labels = tell_apart(said(turns), np.full(300, 4.0), THRESHOLD, speakers, seed)
        assert labels.tolist() == turns
    assert sizes == [50] * 3


def test_a_segment_without_a_voice_goes_with_the_one_beside_it() -> None:
    embeddings = said([0, 0, 0, 0, 0, 1, 1])
    embeddings[[0, 2, 3, 4]] = 0
    seconds = np.array([3, 9, 3, 3, 3, 5, 5])
    assert tell_apart(embeddings, seconds, THRESHOLD).tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert tell_apart(np.zeros((3, 256)), [1, 2, 3], THRESHOLD).tolist() == [0, 0, 0]


def test_no_segments_have_no_speakers() -> None:
    nothing, none = np.zeros((0, 256), np.float16), np.zeros(0)
    labels = tell_apart(nothing, none, THRESHOLD)
    assert labels.shape == (0,)
    table = speakers_table(nothing, labels, none, [], none, none)
    assert list(table.columns) == ["speaker", "minutes", "segments", "samples"]
    assert len(table) == 0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="3 embeddings, but the seconds of 2"):
        tell_apart(said([0, 0, 0]), [1, 2], THRESHOLD)
    with pytest.raises(ValueError, match="speakers: 0"):
        tell_apart(said([0]), [2], THRESHOLD, speakers=0)


def test_half_precision_is_enough() -> None:
    turns = [0, 1, 2] * 30
    embeddings = said(turns).astype(np.float16)
    assert tell_apart(embeddings, np.full(90, 3.0), THRESHOLD).tolist() == turns


def test_the_table_says_how_much_each_speaks_and_where_to_listen() -> None:
    embeddings = said([0] * 6 + [1] * 2, spread=0)
    away = np.array([0, 0, 0.1, 0.2, 0.3, 0.9])  # less and less as this speaker sounds
    embeddings[:6, 0], embeddings[range(6), range(2, 8)] = np.cos(away), np.sin(away)
    labels = np.array([0] * 6 + [1] * 2)
    seconds = np.array([1.0, 9.0, 5.0, 8.0, 2.0, 3.0, 1.5, 4.0])
    begins = np.arange(8) * 10.0
    names = ["talk.mp3"] * 7 + ["other talk.mp3"]
    table = speakers_table(embeddings, labels, seconds, names, begins, begins + seconds)
    assert table["speaker"].tolist() == ["speaker-1", "speaker-2"]
    assert table["minutes"].tolist() == [0.47, 0.09]
    assert table["segments"].tolist() == [6, 2]
    first, second = table["samples"]
    assert first == "talk.mp3 20.00-25.00; talk.mp3 30.00-38.00; talk.mp3 40.00-42.00"
    assert second == "other talk.mp3 70.00-74.00; talk.mp3 60.00-61.50", "there are no three"


@pytest.fixture(scope="module")
def voices(spoken: Path) -> dict[str, list[NDArray[np.float32]]]:
    """Speech of some 2 s each: a woman who reads, and two men who say digits."""
    read = [load(path) for path in sorted((spoken / "LJSpeech-1.1/wavs").glob("*.wav"))]
    found = {"lj": [part for one in read for part in np.array_split(one, len(one) // 48000)]}
    for man in ("jackson", "lucas"):
        digits = [
            load(spoken / f"digits/{digit}_{man}_{take}.wav")
            for take in range(4)
            for digit in range(10)
        ]
        found[man] = [np.concatenate(digits[i : i + 5]) for i in range(0, 40, 5)]
    return found


def load(path: Path) -> NDArray[np.float32]:
    return librosa.load(path, sr=24000)[0]


def heard(
    voices: dict[str, list[NDArray[np.float32]]], *names: str
) -> tuple[Embeddings, NDArray[np.float64], list[int]]:
    """Embeddings, seconds and who it is, for every segment of these voices."""
    segments = [(i, samples) for i, name in enumerate(names) for samples in voices[name]]
    embeddings = np.stack([embedding(samples) for _, samples in segments])
    return embeddings, np.array([len(s) / 24000 for _, s in segments]), [i for i, _ in segments]


def test_people_are_told_apart(voices: dict[str, list[NDArray[np.float32]]]) -> None:
    embeddings, seconds, who = heard(voices, "lj", "jackson")
    labels = tell_apart(embeddings, seconds, THRESHOLD)
    assert len(set(zip(labels, who, strict=True))) == 2
    assert len(set(labels)) == 2
    embeddings, seconds, who = heard(voices, "lj", "jackson", "lucas")
    labels = tell_apart(embeddings, seconds, THRESHOLD, speakers=3)
    assert len(set(zip(labels, who, strict=True))) == 3


def test_each_of_them_stays_one(voices: dict[str, list[NDArray[np.float32]]]) -> None:
    for name in voices:
        embeddings, seconds, _ = heard(voices, name)
        assert not tell_apart(embeddings, seconds, THRESHOLD).any(), name
