"""Which frames say which symbol of a text: a hidden Markov model of the first codebook's codes.

A text is its symbols in their order, each for a frame or more, with few left out: a mark between
words is often no sound. Each symbol gives each code with a probability of its own, whatever came
before. These are fitted to the recordings themselves, from symbols of equal length, by finding the
best alignment of all and counting again (segmental k-means; Juang and Rabiner, 1990).
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from lhotse import CutSet
from lhotse.cut import Cut
from numpy.typing import NDArray

from revoice.codec.search import ResidualCodec
from revoice.files import atomic

ROUNDS = 6
MOST = 6000  # utterances that it is fitted to
SMOOTHED = 20.0  # frames of all symbols together that count as each one's
PRIOR = 20  # sightings that each symbol has without being seen
OMITTED = 0.5  # of the share of a symbol's sightings without any frame: it must pay to leave it out
UNIT = 1024  # of a nat: costs are whole numbers, and their sums the same on every machine
NEVER = -(2**50)

Ids = NDArray[np.int64]


class Aligner(NamedTuple):
    """The model: logarithms of probabilities, in whole 1024ths of a nat.

    `says`: (symbols, 1024) int64, a code given the symbol; `omitted`: (symbols,) int64, that it
    is left out.
    """

    says: Ids
    omitted: Ids

    def frames(self, ids: Ids, codes: Ids) -> Ids:
        """Frames (S,) of each symbol, of (S,) ids and (T,) codes of the first codebook.

        Where there are not enough frames for an alignment, all symbols are of about equal length.
        """
        symbols, frames = len(ids), len(codes)
        if frames < symbols // 2 + 1:
            return equal_parts(symbols, frames)
        score, omitted = self.says[ids][:, codes], self.omitted[ids]
        best = np.full(symbols, NEVER)
        best[:1] = score[0, 0]
        best[1:2] = omitted[0] + score[1:2, 0]
        steps = np.zeros((frames, symbols), np.int64)
        for t in range(1, frames):
            moves = np.full((3, symbols), NEVER)  # from the symbol itself, the last, the one before
            moves[0], moves[1, 1:] = best, best[:-1]
            moves[2, 2:] = best[:-2] + omitted[1:-1]
            steps[t] = moves.argmax(0)
            best = moves.max(0) + score[:, t]
        at = symbols - 1
        if symbols > 1 and best[-2] + omitted[-1] > best[-1]:
            at = symbols - 2
        found = np.zeros(symbols, np.int64)
        for t in range(frames - 1, -1, -1):
            found[at] += 1
            at -= steps[t, at]
        return found


def equal_parts(symbols: int, frames: int) -> Ids:
    """Frames (S,) of symbols of about equal length."""
    return np.diff(np.arange(symbols + 1) * frames // symbols)


def fit_aligner(utterances: Sequence[tuple[Ids, Ids]], symbols: int) -> Aligner:
    """Fit an aligner to (ids, codes of the first codebook) each, of a table of so many symbols."""
    found = [equal_parts(len(ids), len(codes)) for ids, codes in utterances]
    for _ in range(ROUNDS):
        aligner = _counted(utterances, found, symbols)
        found = [aligner.frames(*utterance) for utterance in utterances]
    return aligner


def _counted(utterances: Sequence[tuple[Ids, Ids]], found: Sequence[Ids], symbols: int) -> Aligner:
    frames = np.zeros((symbols, ResidualCodec.bins))
    sightings, silent = np.zeros(symbols), np.zeros(symbols)
    for (ids, codes), lasting in zip(utterances, found, strict=True):
        np.add.at(frames, (np.repeat(ids, lasting), codes), 1)
        np.add.at(sightings, ids, 1)
        np.add.at(silent, ids, lasting == 0)
    every = frames.sum(0) + 1
    says = frames + SMOOTHED * every / every.sum()
    says /= says.sum(1, keepdims=True)
    omitted = OMITTED * (silent + 1) / (sightings + PRIOR)
    return Aligner(*(np.round(UNIT * np.log(x)).astype(np.int64) for x in (says, omitted)))


def align(read: Mapping[str, Path], write: Mapping[str, str], symbols: int) -> None:
    """Write manifests of tokenized cuts with codes anew, with the frames of each of their tokens.

    `read` and `write` are by split; the aligner is fitted to the first 6000 cuts of train.
    """
    first = islice(CutSet.from_jsonl_lazy(read["train"]), MOST)
    aligner = fit_aligner([_utterance(cut) for cut in first], symbols)
    for split, path in read.items():
        with atomic(write[split]) as temporary, CutSet.open_writer(temporary) as writer:
            for cut in CutSet.from_jsonl_lazy(path):
                cut.supervisions[0].frames = aligner.frames(*_utterance(cut)).tolist()
                writer.write(cut)


def _utterance(cut: Cut) -> tuple[Ids, Ids]:
    """Ids, and codes of the first codebook."""
    return np.array(cut.supervisions[0].tokens), cut.load_codes()[:, 0].astype(np.int64)
