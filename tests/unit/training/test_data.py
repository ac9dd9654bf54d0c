"""Batches, samplers and selection of cuts."""

import random
import subprocess
import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from lhotse import CutSet
from lhotse.features.io import lookup_cache_or_open

from revoice.training import data
from revoice.training.data import (
    CodesDataset,
    Sampler,
    collate,
    dev_sample,
    load_batches,
    load_example,
    ordered_batches,
)
from tests.helpers.synthetic import write_cuts


@pytest.fixture(scope="module")
def cuts(tmp_path_factory: pytest.TempPathFactory) -> CutSet:
    return CutSet.from_jsonl_lazy(write_cuts(tmp_path_factory.mktemp("cuts"), 60))


def ids(batches: Iterable[CutSet]) -> list[list[str]]:
    """What is in each batch, concatenated cuts by what they are made of."""
    return [[s.id for cut in batch for s in cut.supervisions] for batch in batches]


def test_batch_holds_the_stored_codes_and_tokens(cuts: CutSet) -> None:
    chosen = CutSet.from_cuts(list(cuts)[:5])
    batch = CodesDataset(pad=7)[chosen]
    for row, cut in enumerate(chosen):
        tokens, codes = cut.supervisions[0].tokens, cut.load_codes()
        symbols, frames = len(tokens), len(codes)
        assert batch.text_lens[row] == symbols
        assert batch.code_lens[row] == frames
        assert batch.text[row, :symbols].tolist() == tokens
        assert (batch.text[row, symbols:] == 7).all()
        assert np.array_equal(batch.codes[row, :frames].numpy(), codes)
        assert not batch.codes[row, frames:].any()
    assert batch.codes.dtype == batch.text.dtype == torch.int64
    assert batch.languages is None
    assert batch.to("cpu").languages is None


def test_languages_become_the_models_ids(tmp_path: Path) -> None:
    path = write_cuts(tmp_path, 4, languages=("en", "ja"))
    examples = [load_example(cut) for cut in CutSet.from_jsonl_lazy(path)]
    batch = collate(examples, 0, ("ja", "zh", "en"))
    assert batch.languages is not None
    assert batch.languages.shape == batch.text.shape
    assert batch.languages[:, 0].tolist() == [2, 0, 2, 0]
    with pytest.raises(ValueError, match=r"the cuts hold ja, .* its languages: en\b"):
        collate(examples, 0, ("en",))


def test_training_batches_cover_all_cuts_and_keep_to_their_size(cuts: CutSet) -> None:
    sampler = Sampler(cuts, batch_seconds=3, seed=1)
    batches = list(sampler.epoch(0))
    assert sorted(chain(*ids(batches))) == sorted(cut.supervisions[0].id for cut in cuts)
    assert all(len(b) == 1 or len(b) * max(c.duration for c in b) <= 3 + 1e-6 for b in batches)
    assert ids(batches) == ids(Sampler(cuts, 3, seed=1).epoch(0))
    assert ids(batches) != ids(sampler.epoch(1))
    assert ids(batches) != ids(Sampler(cuts, 3, seed=2).epoch(0))


@pytest.mark.parametrize("concatenate", [None, 3.0])
def test_skipping_goes_on_with_the_same_batches(cuts: CutSet, concatenate: float | None) -> None:
    whole = ids(Sampler(cuts, 3, 1, concatenate_seconds=concatenate).epoch(4))
    rest = ids(Sampler(cuts, 3, 1, concatenate_seconds=concatenate).epoch(4, skip=5))
    assert rest == whole[5:]
    assert rest


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_get_equally_many_batches_and_together_every_cut(
    cuts: CutSet, world_size: int
) -> None:
    one = ids(Sampler(cuts, 3, 1).epoch(0))
    ranks = [ids(Sampler(cuts, 3, 1, rank, world_size).epoch(0)) for rank in range(world_size)]
    assert len({len(batches) for batches in ranks}) == 1
    whole = len(one) // world_size
    for rank, batches in enumerate(ranks):
        assert batches[:whole] == one[rank : whole * world_size : world_size]
    assert sorted(chain(*chain(*ranks))) == sorted(cut.supervisions[0].id for cut in cuts)


def test_fewer_cuts_than_ranks_end_the_epoch_everywhere(tmp_path: Path) -> None:
    cuts = CutSet.from_jsonl_lazy(write_cuts(tmp_path, 1))
    assert [list(Sampler(cuts, 3, 1, rank, 2).epoch(0)) for rank in range(2)] == [[], []]
    assert len(list(Sampler(cuts, 3, 1).epoch(0))) == 1


def test_no_cuts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no cuts to train on"):
        Sampler(CutSet.from_jsonl_lazy(write_cuts(tmp_path, 0)), 3, 1)


def test_validation_batches_do_not_depend_on_the_ranks(cuts: CutSet) -> None:
    one = ids(ordered_batches(cuts, 3))
    ranks = [ids(ordered_batches(cuts, 3, rank, 4)) for rank in range(4)]
    assert [ranks[i % 4][i // 4] for i in range(len(one))] == one
    assert sorted(chain(*one)) == sorted(cut.supervisions[0].id for cut in cuts)


def test_concatenation_joins_cuts_of_one_speaker(cuts: CutSet) -> None:
    joined = list(data.concatenate(cuts, 2.0, random.Random(1)))
    assert len(joined) < len(list(cuts))
    assert any(len(cut.supervisions) > 2 for cut in joined)
    assert all(len({s.speaker for s in cut.supervisions}) == 1 for cut in joined)
    assert max(cut.duration for cut in joined) <= 2.0
    assert sorted(s.id for cut in joined for s in cut.supervisions) == sorted(
        cut.supervisions[0].id for cut in cuts
    )

    several = next(cut for cut in joined if len(cut.supervisions) > 2)
    parts = [track.cut for track in several.tracks]
    for part in parts:  # nobody knows when which symbol is said
        part.supervisions[0].custom.pop("frames")
    example = load_example(several, separator=[23])
    assert np.array_equal(example.codes, np.concatenate([part.load_codes() for part in parts]))
    tokens = parts[0].supervisions[0].tokens
    assert example.tokens[: len(tokens) + 1] == [*tokens, 23]
    assert example.tokens.count(23) >= len(parts) - 1
    assert len(example.tokens) == len(example.languages)
    sizes = [
        (len(p.supervisions[0].tokens) + (i > 0), len(p.load_codes())) for i, p in enumerate(parts)
    ]
    assert example.parts == sizes
    alone = load_example(parts[0])
    batch = collate([alone, example], 0)
    assert batch.parts is not None
    assert batch.parts.frames.tolist()[1] == [frames for _, frames in sizes]
    assert batch.parts.frames.tolist()[0] == [len(alone.codes)] + [0] * (len(sizes) - 1)
    of = [part for part, (symbols, _) in enumerate(sizes) for _ in range(symbols)]
    assert batch.parts.of.tolist()[1] == of
    assert batch.parts.frames.sum(1).equal(batch.code_lens)
    wrapped = load_example(several, separator=[23], ends=[1, 2])
    assert wrapped.tokens == [1, *example.tokens, 2]
    assert sum(symbols for symbols, _ in wrapped.parts) == len(wrapped.tokens)
    assert wrapped.languages == [example.languages[0], *example.languages, example.languages[-1]]


def test_open_files_stay_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "OPEN_FILES", 3)
    for shard in range(8):
        for cut in CutSet.from_jsonl_lazy(write_cuts(tmp_path / str(shard), 2)):
            load_example(cut)
            assert lookup_cache_or_open.cache_info().currsize <= 3


def test_workers_read_the_same_batches_and_leave_the_generators_alone(cuts: CutSet) -> None:
    dataset, state = CodesDataset(0), torch.get_rng_state()
    here = list(load_batches(dataset, Sampler(cuts, 8, 1).epoch(0)))
    for workers in (1, 3):
        there = list(load_batches(dataset, Sampler(cuts, 8, 1).epoch(0), workers))
        assert torch.equal(torch.get_rng_state(), state)
        assert len(here) == len(there) > 3
        assert all(torch.equal(a.codes, b.codes) for a, b in zip(here, there, strict=True))


READ_ALL = """
import resource, sys
from lhotse import CutSet
from revoice.training.data import CodesDataset, Sampler, load_batches
sampler = Sampler(CutSet.from_jsonl_lazy(sys.argv[1]), 20, 1, buffer=50)
seen = sum(len(b.text) for b in load_batches(CodesDataset(0), sampler.epoch(0)))
print(seen, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_is_flat(tmp_path: Path) -> None:
    seen, memory = [], []
    for copies in (1, 100):
        path = write_cuts(tmp_path / str(copies), 60, copies=copies)
        command = [sys.executable, "-c", READ_ALL, path]
        result = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        seen.append(int(result[0]))
        memory.append(int(result[1]))
    assert seen == [60, 6000]
    assert memory[1] < 1.1 * memory[0]


def test_a_sample_of_dev(cuts: CutSet) -> None:
    total = sum(cut.duration for cut in cuts)
    assert dev_sample(cuts, None, seed=1) is cuts
    assert dev_sample(cuts, total, seed=1) is cuts
    assert dev_sample(CutSet.from_cuts([]), 10, seed=1) is None
    some = dev_sample(cuts, total / 3, seed=1)
    assert some is not None
    chosen = [cut.id for cut in some]
    assert chosen == [cut.id for cut in some], "it may be read again and again"
    assert 0.15 * total < sum(cut.duration for cut in some) < 0.5 * total
    other = dev_sample(cuts, total / 3, seed=2)
    assert other is not None
    assert chosen != [cut.id for cut in other]
    assert len(list(dev_sample(cuts, 1e-6, seed=1) or [])) == 1
