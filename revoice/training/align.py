"""Fits the aligner to recordings, and aligns them.

From symbols of equal length it finds the best alignment of all and counts again (segmental k-means;
Juang and Rabiner, 1990).
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from lhotse import CutSet
from lhotse.cut import Cut
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from revoice.codec.search import ResidualCodec
from revoice.files import atomic
from revoice.model.aligner import UNIT, Aligner, Ids, equal_parts

ROUNDS = 6
MOST = 6000  # utterances that it is fitted to
SMOOTHED = 20.0  # frames of all symbols together that count as each one's
KNOWN = 200.0  # frames that count as each symbol's, of what is known of other recordings
PRIOR = 20  # sightings that each symbol has without being seen
OMITTED = 0.5  # of the share of a symbol's sightings without any frame: it must pay to leave it out


def aligner_of(path: str | Path) -> Aligner | None:
    """That of a .safetensors file, its own or a model's; None for a model that has none.

    Raises ValueError for a file that is not whole.
    """
    wanted = ("says", "heard", "omitted")
    try:
        with safe_open(path, "pt") as file:
            names = {name.removeprefix("nar_aligner."): name for name in file.keys()}  # noqa: SIM118
            tensors = {k: file.get_tensor(names[k]).float() for k in wanted if k in names}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from None
    if len(tensors) < len(wanted):
        return None
    aligner = Aligner(*tensors["says"].shape)
    aligner.take(tensors)
    return aligner


def fit_aligner(
    utterances: Sequence[tuple[Ids, Ids]], symbols: int, known: Aligner | None = None
) -> Aligner:
    """Fit an aligner to (ids, codes of the first codebook) each, of a table of so many symbols.

    `known`: one of other recordings to start from, with whose codes minutes of speech are enough.
    """
    prior = None
    if known is None:
        found = [equal_parts(len(ids), len(codes)) for ids, codes in utterances]
    else:
        started = Aligner(symbols, ResidualCodec.bins)
        started.says[:] = started.heard[:] = known.heard
        started.omitted[:] = known.omitted.mean()
        started.take(known.state_dict())
        found = [started.frames(*utterance) for utterance in utterances]
        prior = KNOWN * started.says.double().exp().numpy()
    aligner = _counted(utterances, found, symbols, prior)
    for _ in range(ROUNDS - 1):
        found = [aligner.frames(*utterance) for utterance in utterances]
        aligner = _counted(utterances, found, symbols, prior)
    return aligner


def _counted(
    utterances: Sequence[tuple[Ids, Ids]],
    found: Sequence[Ids],
    symbols: int,
    prior: NDArray[np.float64] | None,
) -> Aligner:
    frames = np.zeros((symbols, ResidualCodec.bins))
    sightings, silent = np.zeros(symbols), np.zeros(symbols)
    for (ids, codes), lasting in zip(utterances, found, strict=True):
        np.add.at(frames, (np.repeat(ids, lasting), codes), 1)
        np.add.at(sightings, ids, 1)
        np.add.at(silent, ids, lasting == 0)
    heard = frames.sum(0) + 1
    heard /= heard.sum()
    says = frames + (SMOOTHED * heard if prior is None else prior)
    says /= says.sum(1, keepdims=True)
    omitted = OMITTED * (silent + 1) / (sightings + PRIOR)
    aligner = Aligner(symbols, ResidualCodec.bins)
    for name, value in {"says": says, "heard": heard, "omitted": omitted}.items():
        aligner.get_buffer(name).copy_(torch.from_numpy(np.round(UNIT * np.log(value)) / UNIT))
    return aligner


def align(
    read: Mapping[str, Path], write: Mapping[str, str], symbols: int, known: Aligner | None = None
) -> Aligner:
    """Write manifests of tokenized cuts with codes anew, with the frames of each of their tokens.

    `read` and `write` are by split; the aligner is fitted to the first 6000 cuts of train, from
    `known`, that of a model to start from.
    """
    first = islice(CutSet.from_jsonl_lazy(read["train"]), MOST)
    aligner = fit_aligner([_utterance(cut) for cut in first], symbols, known)
    for split, path in read.items():
        with atomic(write[split]) as temporary, CutSet.open_writer(temporary) as writer:
            for cut in CutSet.from_jsonl_lazy(path):
                cut.supervisions[0].frames = aligner.frames(*_utterance(cut)).tolist()
                writer.write(cut)
    return aligner


def _utterance(cut: Cut) -> tuple[Ids, Ids]:
    """Ids, and codes of the first codebook."""
    return np.array(cut.supervisions[0].tokens), cut.load_codes()[:, 0].astype(np.int64)
