"""Which frames say which symbol of a text: a hidden Markov model of the first codebook's codes.

A text is its symbols in their order, each for a frame or more, with few left out: a mark between
words is often no sound. Each symbol gives each code with a probability of its own, whatever came
before. `revoice.training.align` fits it; a NAR keeps it, to know of codes that the AR has just
said where each symbol is in them, and how well they say it.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

UNIT = 64  # of a nat: costs are whole numbers, and their sums the same on every machine
NEVER = -(2**50)

Ids = NDArray[np.int64]


class Aligner(nn.Module):
    """Natural logarithms of probabilities, in whole 64ths: exact in half precision, too.

    `says`: (symbols, codes), of a code given the symbol; `heard`: (codes,), of any symbol's code;
    `omitted`: (symbols,), that a symbol is left out. One that was never fitted knows nothing.
    """

    says: torch.Tensor
    heard: torch.Tensor
    omitted: torch.Tensor

    def __init__(self, symbols: int, codes: int) -> None:
        super().__init__()
        self.register_buffer("says", torch.zeros(symbols, codes))
        self.register_buffer("heard", torch.zeros(codes))
        self.register_buffer("omitted", torch.zeros(symbols))

    def take(self, fitted: Mapping[str, torch.Tensor]) -> None:
        """Be what was fitted to other recordings; symbols that these lack stay as they are."""
        for name, known in fitted.items():
            self.get_buffer(name)[: len(known)] = known

    def frames(self, ids: ArrayLike, codes: ArrayLike) -> Ids:
        """Frames (S,) of each symbol, of (S,) ids and (T,) codes of the first codebook.

        Where there are not enough frames for an alignment, all symbols are of about equal length.
        """
        ids, codes = np.asarray(ids, np.int64), np.asarray(codes, np.int64)
        symbols, frames = len(ids), len(codes)
        if frames < symbols // 2 + 1:
            return equal_parts(symbols, frames)
        score, omitted = _whole(self.says[ids][:, codes]), _whole(self.omitted[ids])
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

    def told(self, ids: ArrayLike, codes: ArrayLike) -> float:
        """Nats a frame by which codes (T,) are likelier for a text (S,) than for any; 0 for none.

        It tells whether a text is heard in them: the AR's own probability does not, since what
        stands still is the likeliest of all.
        """
        ids, codes = np.asarray(ids, np.int64), np.asarray(codes, np.int64)
        if not len(codes):
            return 0.0
        frames = self.frames(ids, codes)
        said = _whole(self.says[np.repeat(ids, frames), codes]) - _whole(self.heard[codes])
        return float(said.sum() + _whole(self.omitted[ids[frames == 0]]).sum()) / len(codes) / UNIT


def equal_parts(symbols: int, frames: int) -> Ids:
    """Frames (S,) of symbols of about equal length."""
    return np.diff(np.arange(symbols + 1) * frames // symbols)


def _whole(logarithms: torch.Tensor) -> Ids:
    return (UNIT * logarithms.double()).round().long().cpu().numpy()
