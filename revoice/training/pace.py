"""How long each text symbol lasts: what the text positions of a model are made of."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import torch
from lhotse.cut import Cut
from torch import Tensor

PRIOR = 20  # sightings of a symbol that the mean of all counts as
SHORTEST = 1 / 16  # frames
STEPS = 64  # of a frame, to which results are rounded: no BLAS shows in them


def symbol_frames(cuts: Iterable[Cut], symbols: int) -> Tensor:
    """(symbols,) float32 mean frames of each text symbol, by regression over whole utterances.

    The frames of an utterance are the sum of those of its symbols, in the sense of least squares,
    with a pull to the mean of all, which a symbol that is never said gets. Raises ValueError
    where there is nothing to learn from.
    """
    products, sums = np.zeros((symbols, symbols)), np.zeros(symbols)
    said = frames = 0
    for cut in cuts:
        counts = Counter(cut.supervisions[0].tokens)
        ids, times = np.array(list(counts)), np.array(list(counts.values()), float)
        length = cut.codes.shape[0]
        products[np.ix_(ids, ids)] += np.outer(times, times)  # whole numbers: exact in any order
        sums[ids] += length * times
        said, frames = said + int(times.sum()), frames + length
    if not said:
        raise ValueError("there are no cuts to train on; see the list of excluded cuts")
    mean = frames / said
    products[np.diag_indices(symbols)] += PRIOR
    found = np.linalg.solve(products, sums + PRIOR * mean)
    rounded = np.round(np.maximum(found, SHORTEST) * STEPS) / STEPS
    return torch.tensor(rounded, dtype=torch.float32)
