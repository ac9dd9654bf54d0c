"""Cuts with codes and tokens, to batches of tensors. Nothing is read before its batch needs it."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from lhotse import CutSet
from lhotse.cut import Cut, MixedCut
from lhotse.dataset.sampling import DynamicBucketingSampler
from lhotse.dataset.sampling.dynamic_bucketing import estimate_duration_buckets
from lhotse.features.io import close_cached_file_handles, lookup_cache_or_open
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from revoice.text.framing import frame

OPEN_FILES = 64  # shard files a process keeps open; Lhotse's own cache has no bound
BUFFER = 2000  # cuts in memory to shuffle and sort by length, however large the corpus is


@dataclass
class Batch:
    """Utterances of one batch, padded to the longest.

    text (N, S) int64, text_lens (N,) int64, codes (N, T, 8) int64, code_lens (N,) int64,
    languages (N, S) int64 indices into the model's languages, or None for a model without.
    """

    text: Tensor
    text_lens: Tensor
    codes: Tensor
    code_lens: Tensor
    languages: Tensor | None = None

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        tensors = {name: t.to(device) for name, t in vars(self).items() if t is not None}
        return replace(self, **tensors)


class Example(NamedTuple):
    """One utterance: token ids, a language per token, codes (frames, 8) int16."""

    tokens: list[int]
    languages: list[str]
    codes: np.ndarray


def load_example(cut: Cut, separator: Sequence[int] = (), ends: Sequence[int] = ()) -> Example:
    """Read one cut's codes and tokens; the parts of a concatenated cut are joined in order.

    It is a MonoCut with `codes` and one supervision with `tokens` and `token_languages`, or a
    MixedCut of such cuts, one after the other. `separator` and `ends` are as in `frame`.
    """
    parts = [track.cut for track in cut.tracks] if isinstance(cut, MixedCut) else [cut]
    said = [part.supervisions[0] for part in parts]
    texts = frame([(text.tokens, text.token_languages) for text in said], separator, ends)
    tokens = [index for ids, _ in texts for index in ids]
    languages = [language for _, languages in texts for language in languages]
    if lookup_cache_or_open.cache_info().currsize >= OPEN_FILES:
        close_cached_file_handles()
    return Example(tokens, languages, np.concatenate([part.load_codes() for part in parts]))


def collate(examples: Sequence[Example], pad: int, languages: Sequence[str] = ()) -> Batch:
    """Examples to one padded batch: texts are filled up with the id `pad`, codes with 0.

    `languages` are the model's in order, none for a model without. Raises ValueError where a
    token's language is not among them.
    """
    text = [torch.tensor(example.tokens) for example in examples]
    codes = [torch.from_numpy(example.codes.astype(np.int64)) for example in examples]
    ids = None
    if languages:
        index = {language: i for i, language in enumerate(languages)}
        if unknown := {name for example in examples for name in example.languages} - set(index):
            raise ValueError(
                f"the cuts hold {', '.join(sorted(unknown))}, which the model has no embedding "
                f"for; its languages: {', '.join(languages)}. Add them with `new_languages`."
            )
        rows = [torch.tensor([index[name] for name in example.languages]) for example in examples]
        ids = pad_sequence(rows, batch_first=True)
    text_lens, code_lens = (torch.tensor([len(row) for row in rows]) for rows in (text, codes))
    padded = pad_sequence(text, batch_first=True, padding_value=pad)
    return Batch(padded, text_lens, pad_sequence(codes, batch_first=True), code_lens, ids)


@dataclass(frozen=True)
class CodesDataset(Dataset):
    """Cuts in, Batch out: `dataset[cuts]` reads the codes of these cuts alone.

    The arguments are those of `collate` and `load_example`.
    """

    pad: int
    languages: Sequence[str] = ()
    separator: Sequence[int] = ()
    ends: Sequence[int] = ()

    def __getitem__(self, cuts: Iterable[Cut]) -> Batch:
        examples = [load_example(cut, self.separator, self.ends) for cut in cuts]
        return collate(examples, self.pad, self.languages)


def load_batches(
    dataset: CodesDataset, batches: Iterable[CutSet], workers: int = 0
) -> Iterator[Batch]:
    """Read the batches that a sampler chose, in `workers` processes ahead of their use."""
    # Its own generator, or each pass would move the global one and a resumed run would differ.
    own: dict[str, Any] = {"generator": torch.Generator(), "worker_init_fn": _forget_open_files}
    return iter(DataLoader(dataset, sampler=batches, batch_size=None, num_workers=workers, **own))


def _forget_open_files(worker: int) -> None:
    close_cached_file_handles()  # HDF5 handles do not survive a fork


@dataclass
class Sampler:
    """Which cuts make which batch: Lhotse's bucketing by duration, the same for the same seed.

    Training batches are shuffled anew each epoch; every rank gets equally many. Batches do not
    depend on the number of ranks: rank r of R takes every R-th, so that R processes see in one
    step what one process sees in R steps of accumulation.
    """

    cuts: CutSet  # read lazily, once per epoch, plus 10,000 cuts at the start to choose the buckets
    batch_seconds: float  # longest cut times number of cuts stays below this
    seed: int
    rank: int = 0
    world_size: int = 1
    concatenate_seconds: float | None = None  # join a speaker's cuts to random lengths up to this
    buffer: int = BUFFER  # cuts in memory; shuffling reaches this far

    def __post_init__(self) -> None:
        self.bins = duration_bins(self._stream(epoch=0), self.batch_seconds)

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[CutSet]:
        """This rank's batches of one epoch, without the first `skip` (no codes are read)."""
        return islice(self._share(epoch), skip, None)

    def _share(self, epoch: int) -> Iterator[CutSet]:
        ranks = self.world_size
        options = {"buffer_size": self.buffer, "shuffle": True, "seed": self.seed}
        sampler = bucketing(self._stream(epoch), self.batch_seconds, self.bins, **options)
        sampler.set_epoch(epoch)
        batches = (batch for batch in sampler)  # each iter() of the sampler starts it over
        while group := list(islice(batches, ranks)):
            if len(group) < ranks:  # the last: its cuts are dealt out
                cuts = [cut for batch in group for cut in batch]
                if len(cuts) < ranks:
                    return
                group = [CutSet.from_cuts(cuts[rank::ranks]) for rank in range(ranks)]
            yield group[self.rank]

    def _stream(self, epoch: int) -> Iterable[Cut]:
        if self.concatenate_seconds is None:
            return self.cuts
        rng = random.Random(self.seed + epoch)
        shuffled = self.cuts.shuffle(rng=rng, buffer_size=self.buffer)
        return concatenate(shuffled, self.concatenate_seconds, rng)


def bucketing(
    cuts: Iterable[Cut], seconds: float, bins: list[float], **options: Any
) -> DynamicBucketingSampler:
    """Lhotse's sampler of batches of so many seconds; dealing them out to the ranks is ours."""
    settings = {"max_duration": seconds, "duration_bins": bins, "rank": 0, "world_size": 1}
    return DynamicBucketingSampler(cuts, **settings, **options)


def duration_bins(cuts: Iterable[Cut], batch_seconds: float) -> list[float]:
    """Where the buckets of similar duration end: at most 10, with two batches or more in each.

    Raises ValueError where there are no cuts.
    """
    sample = list(islice(cuts, 10_000))
    if not sample:
        raise ValueError("there are no cuts to train on; see the list of excluded cuts")
    seconds = sum(cut.duration for cut in sample)
    buckets = min(10, len(sample), int(seconds / batch_seconds / 2))
    if buckets < 2:
        return [max(cut.duration for cut in sample)]
    return [float(edge) for edge in estimate_duration_buckets(sample, buckets)]


def ordered_batches(
    cuts: Iterable[Cut], batch_seconds: float, rank: int = 0, world_size: int = 1
) -> Iterator[CutSet]:
    """Every cut once, in the same batches whatever the number of ranks, for validation.

    Ranks may get unequal numbers of batches, none at all as well.
    """
    bins = duration_bins(cuts, batch_seconds)
    sampler = bucketing(cuts, batch_seconds, bins, buffer_size=BUFFER)
    return islice(sampler, rank, None, world_size)


def concatenate(cuts: Iterable[Cut], max_seconds: float, rng: random.Random) -> Iterator[Cut]:
    """Join cuts of the same speaker, in the order they come, to longer examples.

    Each example's length is drawn between 0 and `max_seconds`, so that short ones, single cuts as
    well, remain among them.
    """
    parts: dict[str | None, Cut] = {}
    room: dict[str | None, float] = {}
    for cut in cuts:
        speaker = cut.supervisions[0].speaker
        if speaker in parts and parts[speaker].duration + cut.duration <= room[speaker]:
            parts[speaker] = parts[speaker].append(cut)
            continue
        if speaker in parts:
            yield parts[speaker]
        parts[speaker], room[speaker] = cut, rng.uniform(0, max_seconds)
    yield from parts.values()
