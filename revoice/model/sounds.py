"""A NAR's ears and mouth where it knows what the codes stand for, in place of tables of codes.

It reads the sound of a frame, the sum of its codes' entries in the codec's codebooks, and for each
codebook says a sound, whose distances to the entries are the logits: near entries get near
probabilities before anything is learnt, which tables of embeddings need hours of speech for.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from revoice.codec.search import ResidualCodec

REPEATED = -30.0  # logit of an entry that is there before: it is never chosen


class Entries(NamedTuple):
    """What the codes of a codec stand for: a frame is the sum of an entry of each codebook."""

    values: Tensor  # (Q, K, C)
    weights: Tensor  # (Q, C): how much each codebook looks at each column


def entries_of(codec: ResidualCodec) -> Entries:
    """The entries of a codec's codebooks, float32."""
    every = range(codec.num_quantizers)
    values, weights = ([of(k) for k in every] for of in (codec.entries, codec.weights))
    return Entries(torch.from_numpy(np.stack(values)), torch.from_numpy(np.stack(weights)))


class Sounds(nn.Module):
    """Codes to vectors of a decoder's width, and such vectors to logits of all codebooks but one.

    Args:
        quantizers: codebooks, Q; `bins`: entries of each, K.
        columns: C, of what an entry is made of.
        width: of the decoder.
    """

    entries: Tensor  # (Q, K, C), as in `Entries`
    weights: Tensor  # (Q, C)
    scale: Tensor  # (C,) standard deviation of frames
    spread: Tensor  # (Q,) standard deviation of a codebook's entries in what it looks at

    def __init__(self, quantizers: int, bins: int, columns: int, width: int) -> None:
        super().__init__()
        self.register_buffer("entries", torch.zeros(quantizers, bins, columns))
        self.register_buffer("weights", torch.ones(quantizers, columns))
        self.register_buffer("scale", torch.ones(columns))
        self.register_buffer("spread", torch.ones(quantizers))
        self.read = nn.Linear(columns, width)
        self.whole = nn.Parameter(torch.empty(width))
        self.say = nn.Linear(width, (quantizers - 1) * columns)
        self.log_precision = nn.Parameter(torch.empty(quantizers - 1, columns))
        self.frequency = nn.Parameter(torch.empty(quantizers - 1, bins))

    @torch.no_grad()
    def learn(self, entries: Entries) -> None:
        """Take over the entries of the codec whose codes it will hear."""
        self.entries, self.weights = entries
        variance = torch.zeros_like(self.scale)
        for k, weight in enumerate(self.weights):
            rows = _first_rows(self.entries[k])
            used = self.entries[k][rows]
            variance += used.var(0)
            looked_at = weight > 0
            self.spread[k] = (used * weight)[:, looked_at].std().clamp(min=1e-3)
            if k:  # at first as unsure as of one column, however many there are
                self.log_precision[k - 1] = -looked_at.sum().log()
                self.frequency[k - 1] = REPEATED
                self.frequency[k - 1, rows] = 0.0
        deviation = variance.sqrt()
        self.scale = deviation.clamp(min=0.05 * float(deviation.max()))

    def embed(self, codes: Tensor, whole: Tensor) -> Tensor:
        """What is heard of frames: (N, T, width).

        codes: (N, T, Q) int64; `whole`: (N, T) bool, which frames show all their codebooks, the
        others the first alone.
        """
        heard = self.entries[0][codes[:, :, 0]]
        rest = sum(self.entries[k][codes[:, :, k]] for k in range(1, len(self.entries)))
        heard = torch.where(whole.unsqueeze(2), heard + rest, heard)
        return self.read(heard / self.scale) + whole.unsqueeze(2) * self.whole

    def logits(self, hidden: Tensor, quantizer: int | None = None) -> Tensor:
        """Of (..., width): (..., K) of one codebook, 1 to Q - 1, or (..., Q - 1, K) of all."""
        said = self.say(hidden).unflatten(-1, (-1, self.entries.shape[2]))
        if quantizer is not None:
            return self._of(said, quantizer)
        return torch.stack([self._of(said, k) for k in range(1, len(self.entries))], -2)

    def _of(self, said: Tensor, quantizer: int) -> Tensor:
        """Logits of a normal distribution around what was said: the entries' squared distances."""
        k = quantizer - 1
        entries = self.entries[quantizer] * self.weights[quantizer] / self.spread[quantizer]
        precision = self.log_precision[k].exp()
        near = (said[..., k, :] * precision) @ entries.T
        return near + self.frequency[k] - (entries.square() * precision).sum(1) / 2


def _first_rows(entries: Tensor) -> Tensor:
    """Indices of the rows that no earlier row equals."""
    _, groups = torch.unique(entries, dim=0, return_inverse=True)
    first = torch.full((int(groups.max()) + 1,), len(entries))
    first.scatter_reduce_(0, groups, torch.arange(len(entries)), "amin")
    return first.sort().values
