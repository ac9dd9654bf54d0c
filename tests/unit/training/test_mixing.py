"""The order of examples: voices and corpora evenly, whatever the buffer."""

import random
import resource
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from lhotse import CutSet, MonoCut, SupervisionSegment
from lhotse.cut import Cut, MixedCut, MixTrack
from lhotse.testing.dummies import dummy_recording

from revoice.training import mixing
from revoice.training.data import Sampler
from revoice.training.mixing import mix, voice

# corpus, speaker, number of cuts, their mean duration in seconds
VOICES: list[tuple[str, str, int, float]] = [
    ("one", "a", 2000, 2.5),
    ("one", "b", 1000, 4),
    ("one", "c", 600, 6),
    ("two", "a", 1000, 8),  # another person
    ("two", "d", 600, 3),
    *[("three", f"rare{i}", 5, 4.0) for i in range(60)],
]


def make_cut(corpus: str, speaker: str, number: int, mean: float, rng: random.Random) -> Cut:
    name, seconds = f"{corpus}-{speaker}-{number}", max(1.0, rng.gauss(mean, mean / 4))
    said = SupervisionSegment(name, "none", 0, seconds, speaker=speaker)
    cut = MonoCut(name, 0, seconds, 0, [said], recording=dummy_recording(0, duration=30.0))
    cut.custom = {"shard": f"{corpus}/s{number % 2}"}
    return cut


@pytest.fixture(scope="module")
def in_order() -> list[Cut]:
    """Voice after voice."""
    rng = random.Random(1)
    return [make_cut(c, s, i, mean, rng) for c, s, number, mean in VOICES for i in range(number)]


@pytest.fixture(scope="module")
def mixed(in_order: list[Cut], tmp_path_factory: pytest.TempPathFactory) -> CutSet:
    return CutSet(list(mix(in_order, 1, tmp_path_factory.mktemp("mixed"))))


def parts(batches: Iterable[CutSet]) -> list[Cut]:
    """All cuts in the order in which they are trained on, joined ones one by one."""
    cuts = [cut for batch in batches for cut in batch]
    tracks = [cut.tracks if isinstance(cut, MixedCut) else [cut] for cut in cuts]
    return [
        part.cut if isinstance(part, MixTrack) else part for of_cut in tracks for part in of_cut
    ]


def deviation(cuts: list[Cut], kind: Callable[[Cut], Any], least: int) -> float:
    """How far a share in a tenth is from that in the whole, relatively, at most."""
    whole, size = Counter(map(kind, cuts)), len(cuts)
    tenths = [Counter(map(kind, cuts[i * size // 10 : (i + 1) * size // 10])) for i in range(10)]
    known = {key: number for key, number in whole.items() if number >= least}
    return max(abs(10 * tenth[k] / n - 1) for tenth in tenths for k, n in known.items())


def corpus(cut: Cut) -> str:
    return voice(cut)[0]


def test_mixing_spreads_voices_and_corpora(in_order: list[Cut], tmp_path: Path) -> None:
    cuts = list(mix(iter(in_order), 1, tmp_path))
    assert sorted(map(repr, cuts)) == sorted(map(repr, in_order))
    assert deviation(cuts, voice, 500) < 0.03
    assert deviation(cuts, corpus, 300) < 0.03
    assert deviation(in_order, voice, 500) > 3
    assert list(mix(iter(in_order), 1, tmp_path)) == cuts
    other = list(mix(iter(in_order), 2, tmp_path))
    assert [c.id for c in other] != [c.id for c in cuts]
    for all_cuts in (cuts, other):  # a voice's cuts are drawn, the rare ones' places too
        numbers = [int(cut.id.split("-")[2]) for cut in all_cuts if voice(cut) == ("one", "a")]
        assert sum(a < b for a, b in pairwise(numbers)) == pytest.approx(1000, abs=100)
    assert not list(tmp_path.iterdir())


def test_mixing_holds_no_cuts_in_memory(tmp_path: Path) -> None:
    rng = random.Random(1)
    cut = make_cut("one", "a", 0, 4, rng)

    def stream(number: int) -> Iterable[Cut]:
        return (cut.with_id(f"{i:08d}{'x' * 3000}") for i in range(number))

    sum(1 for _ in mix(stream(1000), 1, tmp_path))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(1 for _ in mix(stream(20_000), 1, tmp_path)) == 20_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000


@pytest.mark.parametrize("buffer", [50, 2000])
@pytest.mark.parametrize("epoch", [0, 3])
def test_an_epoch_is_even_whatever_the_buffer(mixed: CutSet, buffer: int, epoch: int) -> None:
    cuts = parts(Sampler(mixed, 30, 1, buffer=buffer).epoch(epoch))
    assert sorted(cut.id for cut in cuts) == sorted(cut.id for cut in mixed)
    assert deviation(cuts, voice, 500) < 0.1
    assert deviation(cuts, corpus, 300) < 0.2  # of the corpus of rare voices a tenth is 30 cuts
    assert deviation(cuts, corpus, 500) < 0.05


@pytest.mark.parametrize("buffer", [50, 2000])
def test_joined_cuts_are_even_too(mixed: CutSet, buffer: int) -> None:
    cuts = parts(Sampler(mixed, 30, 1, buffer=buffer, concatenate_seconds=15).epoch(0))
    assert sorted(cut.id for cut in cuts) == sorted(cut.id for cut in mixed)
    assert deviation(cuts, voice, 900) < 0.1
    assert deviation(cuts, voice, 500) < 0.15  # 60 in a tenth, five in an example
    assert deviation(cuts, corpus, 900) < 0.1
    tail = Counter(corpus(cut) for cut in cuts[-len(cuts) // 20 :])
    assert tail["three"] < 100  # not all of the rare ones at the end


def test_epochs_differ_and_so_do_their_batches(mixed: CutSet) -> None:
    first, second = ({frozenset(b.ids) for b in Sampler(mixed, 30, 1).epoch(i)} for i in (0, 1))
    assert len(first & second) < len(first) / 100
    # a cut's companions are others, those far away in the manifest as well
    places = {cut.id: i for i, cut in enumerate(parts(Sampler(mixed, 30, 1).epoch(0)))}
    later = [places[cut.id] for cut in parts(Sampler(mixed, 30, 1).epoch(1))]
    near = sum(abs(a - b) < 50 for a, b in pairwise(later))
    assert near < len(later) / 5


def test_batches_are_full_and_of_similar_length(mixed: CutSet) -> None:
    batches = list(Sampler(mixed, 30, 1).epoch(0))
    speech = sum(cut.duration for batch in batches for cut in batch)
    padded = [len(batch) * max(cut.duration for cut in batch) for batch in batches]
    assert max(padded) <= 30
    assert speech / sum(padded) > 0.9
    assert speech / (30 * len(batches)) > 0.8


def test_a_cut_longer_than_a_batch_is_one(in_order: list[Cut]) -> None:
    seconds = [1.0, 1.5, 7.0, 2.0]
    cuts = [make_cut("a", "b", i, s, random.Random(i)) for i, s in enumerate(seconds)]
    for cut, duration in zip(cuts, seconds, strict=True):
        cut.duration = duration
    assert [[c.duration for c in b] for b in mixing.pack(cuts, 4)] == [[1.0, 1.5], [7.0], [2.0]]
    batches = mixing.batches(cuts, 4, stretch=1, buffer=2, rng=random.Random(1))
    assert sorted(c.duration for b in batches for c in b) == sorted(seconds)


@pytest.mark.parametrize("joined", [None, 10.0])
def test_corpora_take_the_share_of_an_epoch_that_they_weigh(
    mixed: CutSet, joined: float | None
) -> None:
    weights = {"one": 1.0, "two": 1.0, "three": 0.5}
    sampler = Sampler(mixed, 60, 1, concatenate_seconds=joined, weights=weights)
    seconds = sum(cut.duration for cut in mixed)
    said: Counter[str] = Counter()
    for epoch in range(3):
        cuts = parts(sampler.epoch(epoch))
        of_corpora: Counter[str] = Counter()
        for cut in cuts:
            of_corpora[corpus(cut)] += cut.duration
        assert sum(of_corpora.values()) == pytest.approx(seconds, rel=0.02)
        for name, weight in weights.items():
            share = of_corpora[name] / sum(of_corpora.values())
            assert share == pytest.approx(weight / 2.5, abs=0.01)
        # what is joined waits for more of its voice, which may be a rare one
        assert deviation(cuts, corpus, 300) < (0.2 if joined else 0.1)
        said.update(cut.id for cut in cuts)
    rare = [said[cut.id] for cut in mixed if corpus(cut) == "three"]
    assert max(rare) - min(rare) <= 3  # all as often, but for where an epoch begins
    again = Sampler(mixed, 60, 1, concatenate_seconds=joined, weights=weights)
    whole, rest = parts(sampler.epoch(2)), parts(again.epoch(2, skip=7))
    assert [cut.id for cut in rest] == [cut.id for cut in whole][-len(rest) :]
    assert 0 < len(rest) < len(whole)


def test_a_corpus_of_which_nothing_is_left_weighs_nothing() -> None:
    assert mixing.times({"a": 10.0, "b": 30.0}, {"a": 3, "b": 1, "gone": 9}) == {
        "a": 3.0,
        "b": pytest.approx(1 / 3),
    }
