"""Cuts with codes and tokens, to batches of tensors. Nothing is read before its batch needs it."""

import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
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
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from revoice.devices import sent
from revoice.model.valle import Parts
from revoice.text.framing import frame, frame_lengths
from revoice.training import mixing

OPEN_FILES = 256  # shard files a process keeps open; Lhotse's own cache has no bound
BUFFER = 2000  # cuts in memory to shuffle and sort by length, however large the corpus is
STRETCH = 0.01  # share of an epoch whose cuts are sorted by length together, at least 8 batches
PATIENCE = 0.05  # share of an epoch in which cuts are joined, or a rare speaker's came last


@dataclass
class Batch:
    """Utterances of one batch, padded to the longest.

    text (N, S) int64, text_lens (N,) int64, codes (N, T, 8) int64, code_lens (N,) int64,
    languages (N, S) int64 indices into the model's languages, or None for a model without;
    parts, or None: each text is all of one.
    """

    text: Tensor
    text_lens: Tensor
    codes: Tensor
    code_lens: Tensor
    languages: Tensor | None = None
    parts: Parts | None = None

    def to(self, device: torch.device | str) -> "Batch":
        """The same with its ids on another device; lengths and parts stay, for the host to see."""
        languages = None if self.languages is None else sent(self.languages, device)
        text, codes = sent(self.text, device), sent(self.codes, device)
        return replace(self, text=text, codes=codes, languages=languages)

    def pin_memory(self) -> "Batch":
        """The same in memory that a GPU reads by itself: a `DataLoader` asks for it."""
        pinned = {name: its.pin_memory() for name, its in vars(self).items() if its is not None}
        return replace(self, **pinned)


class Example(NamedTuple):
    """One utterance: token ids, a language per token, codes (frames, 8) int16; of each of the
    parts whose length is known, its number of tokens and that of frames."""

    tokens: list[int]
    languages: list[str]
    codes: np.ndarray
    parts: list[tuple[int, int]]


def load_example(cut: Cut, separator: Sequence[int] = (), ends: Sequence[int] = ()) -> Example:
    """Read one cut's codes and tokens; the parts of a concatenated cut are joined in order.

    It is a MonoCut with `codes` and one supervision with `tokens`, `token_languages` and, if it is
    aligned, the `frames` of each token, or a MixedCut of such cuts, one after the other.
    `separator` and `ends` are as in `frame`; they take no frames where it is known what does.
    """
    parts = [track.cut for track in cut.tracks] if isinstance(cut, MixedCut) else [cut]
    said = [part.supervisions[0] for part in parts]
    texts = frame([(text.tokens, text.token_languages) for text in said], separator, ends)
    tokens = [index for ids, _ in texts for index in ids]
    languages = [language for _, languages in texts for language in languages]
    if lookup_cache_or_open.cache_info().currsize >= OPEN_FILES:
        close_cached_file_handles()
    codes = [part.load_codes() for part in parts]
    known = [text.frames if text.has_custom("frames") else [0] * len(text.tokens) for text in said]
    sizes = []
    for number, lasting in enumerate(frame_lengths(known, separator, ends)):
        if said[number].has_custom("frames"):
            sizes += [(1, frames) for frames in lasting]
        else:
            sizes.append((len(lasting), len(codes[number])))
    return Example(tokens, languages, np.concatenate(codes), sizes)


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
    parts = Parts.of_sizes([example.parts for example in examples])
    codes_padded = pad_sequence(codes, batch_first=True)
    return Batch(padded, text_lens, codes_padded, code_lens, ids, parts)


@dataclass(frozen=True)
class CodesDataset:
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
    own |= {"num_workers": workers, "pin_memory": torch.cuda.is_available()}
    return iter(DataLoader(_Read(dataset, batches), batch_size=None, **own))


@dataclass(frozen=True)
class _Read(IterableDataset):
    """Batches in their order; of W workers each chooses them all, and reads every W-th."""

    dataset: CodesDataset
    batches: Iterable[CutSet]

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        return map(self.dataset.__getitem__, islice(self.batches, first, None, step))


def _forget_open_files(worker: int) -> None:
    close_cached_file_handles()  # HDF5 handles do not survive a fork


@dataclass
class Sampler:
    """Which cuts make which batch: those of similar length, the same for the same seed.

    Voices follow each other as in the manifest, which `mixing.mix` wrote. Each epoch begins at
    another place of it, goes round, and shuffles the cuts of each voice; every rank gets equally
    many batches. These do not depend on the number of ranks: rank r of R takes every R-th, so that
    R processes see in one step what one process sees in R steps of accumulation. Raises ValueError
    where there are no cuts.
    """

    cuts: CutSet  # read lazily, once per epoch, and once at the start to see how many there are
    batch_seconds: float  # longest cut times number of cuts stays below this
    seed: int
    rank: int = 0
    world_size: int = 1
    concatenate_seconds: float | None = None  # join a speaker's cuts to random lengths up to this
    weights: Mapping[str, float] | None = None  # of corpora: their shares of an epoch's speech
    buffer: int = BUFFER  # cuts in memory, twice; shuffling reaches this far

    def __post_init__(self) -> None:
        self.number, of_corpora = 0, Counter[str]()
        for cut in self.cuts:
            self.number += 1
            of_corpora[mixing.voice(cut)[0]] += cut.duration
        if not self.number:
            raise ValueError("there are no cuts to train on; see the list of excluded cuts")
        seconds = sum(of_corpora.values())
        self.times = mixing.times(of_corpora, self.weights) if self.weights else None
        self.stretch = max(STRETCH * seconds, 8 * self.batch_seconds)
        self.patience = math.ceil(PATIENCE * self.number)

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[CutSet]:
        """This rank's batches of one epoch, without the first `skip` (no codes are read)."""
        return islice(self._share(epoch), skip, None)

    def _share(self, epoch: int) -> Iterator[CutSet]:
        ranks, rng = self.world_size, random.Random(f"{self.seed} {epoch}")
        cuts = self._stream(rng)
        batches = mixing.batches(cuts, self.batch_seconds, self.stretch, self.buffer, rng)
        while group := list(islice(batches, ranks)):
            if len(group) < ranks:  # the last: its cuts are dealt out
                rest = [cut for batch in group for cut in batch]
                if len(rest) < ranks:
                    return
                group = [rest[rank::ranks] for rank in range(ranks)]
            yield CutSet.from_cuts(group[self.rank])

    def _stream(self, rng: random.Random) -> Iterator[Cut]:
        start = rng.randrange(self.number)
        cuts: Iterable[Cut] = chain(islice(self.cuts, start, None), islice(self.cuts, start))
        if self.times:
            cuts = mixing.repeat(cuts, self.times, rng)
        shuffled = mixing.shuffle_voices(cuts, self.buffer, rng)
        if self.concatenate_seconds is None:
            return shuffled
        return concatenate(shuffled, self.concatenate_seconds, rng, self.patience)


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
    sampler = DynamicBucketingSampler(
        cuts,
        max_duration=batch_seconds,
        duration_bins=bins,
        buffer_size=BUFFER,
        rank=0,
        world_size=1,
    )
    return islice(sampler, rank, None, world_size)


def dev_sample(cuts: CutSet, seconds: float | None, seed: int) -> CutSet | None:
    """About so many seconds of a lazy set, each cut drawn by its id and the seed alone.

    All of it where there are no more, or None is given; None where there are no cuts.
    """
    total = sum(cut.duration for cut in cuts)
    if not total:
        return None
    if seconds is None or total <= seconds:
        return cuts
    some = cuts.filter(partial(_drawn, seed=seed, share=seconds / total))
    return some if any(True for _ in some) else cuts.subset(first=1)


def _drawn(cut: Cut, seed: int, share: float) -> bool:
    return random.Random(f"{seed} {cut.id}").random() < share


def concatenate(
    cuts: Iterable[Cut], max_seconds: float, rng: random.Random, patience: int | None = None
) -> Iterator[Cut]:
    """Join cuts of the same speaker, in the order they come, to longer examples.

    Each example's length is drawn between 0 and `max_seconds`, so that short ones, single cuts as
    well, remain among them. None waits for its next part while more than `patience` cuts come.
    """
    parts: dict[tuple[str, str], Cut] = {}  # the one that waits the longest first
    room: dict[tuple[str, str], float] = {}
    since: dict[tuple[str, str], int] = {}
    for number, cut in enumerate(cuts):
        speaker = mixing.voice(cut)
        if speaker in parts and parts[speaker].duration + cut.duration <= room[speaker]:
            parts[speaker] = parts[speaker].append(cut)
        else:
            if speaker in parts:
                yield parts.pop(speaker)
            parts[speaker], since[speaker] = cut, number
            room[speaker] = rng.uniform(0, max_seconds)
        oldest = next(iter(parts))
        if patience is not None and number - since[oldest] >= patience:
            yield parts.pop(oldest)
    yield from parts.values()
