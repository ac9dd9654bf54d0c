"""The nearest entry of a codebook, the same whatever computes it.

A product of matrices rounds differently with every BLAS, thread count and batch, and where two
entries are about equally near, that decides. So points and entries are rounded to whole numbers of
some 23 bits first, as exact as float32: sums of their products are exact in float64, in any order.
Beside it is what else both codecs have.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MANTISSA = 53  # bits of a float64
ROWS = 1024  # points that are compared at once, which bounds memory


class ResidualCodec:
    """Speech at 24 kHz to codes and back: each codebook takes what the last one left over."""

    sample_rate = 24000
    hop = 320  # samples in a frame
    frame_rate = sample_rate / hop  # a second
    num_quantizers = 8
    bins = 1024
    device = "cpu"  # or "cuda"
    identity: dict[str, Any] | None = None

    def encode(self, samples: NDArray[np.float32]) -> NDArray[np.int16]:
        """Codes (ceil(N / hop), 8) int16 of (N,) mono samples at 24 kHz in [-1, 1].

        Raises ValueError for samples of another shape, or that are not finite.
        """
        raise NotImplementedError

    def entries(self, quantizer: int) -> NDArray[np.float32]:
        """What codes stand for: (1024, C); a frame is the sum of an entry of each quantizer."""
        raise NotImplementedError

    def weights(self, quantizer: int) -> NDArray[np.float32]:
        """How much a quantizer looks at each of the C columns of what is left: (C,)."""
        return np.ones(self.entries(quantizer).shape[1], np.float32)

    def decode(self, codes: NDArray[np.int16]) -> NDArray[np.float32]:
        """Samples (T * hop,) float32 in [-1, 1] of (T, 8) codes.

        Raises ValueError for codes of another shape, or outside 0 to 1023.
        """
        codes = np.asarray(codes)
        if codes.ndim != 2 or codes.shape[1] != self.num_quantizers:
            raise ValueError(f"codes have the shape {codes.shape}, expected (frames, 8)")
        if not len(codes):
            return np.zeros(0, np.float32)
        if codes.min() < 0 or codes.max() >= self.bins:
            raise ValueError(f"codes from {codes.min()} to {codes.max()}, expected 0 to 1023")
        return self._decode(codes)

    def _decode(self, codes: NDArray[np.int16]) -> NDArray[np.float32]:
        raise NotImplementedError


def check_samples(samples: NDArray[np.floating]) -> None:
    """Raise ValueError unless samples are (N,) and finite."""
    if samples.ndim != 1:
        raise ValueError(f"samples have the shape {samples.shape}, expected mono (N,)")
    if not np.isfinite(samples).all():
        raise ValueError("samples hold values that are not finite")


class Search:
    """Finds points (T, C) among the entries (K, C) of a codebook."""

    def __init__(self, entries: NDArray[np.floating]) -> None:
        precise = np.asarray(entries, np.float64)
        self._bits = (MANTISSA - max(1, entries.shape[1] - 1).bit_length()) // 2
        whole, scale = _whole(precise, self._bits)
        self._whole, self._scale = np.ascontiguousarray(whole.T), scale.T
        self._squares = sum(np.square(column) for column in precise.T)  # in their order

    def distances(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """(T, K) squared distances, less the point's own square."""
        whole, scale = _whole(np.asarray(points, np.float64), self._bits)
        products = whole @ self._whole
        products *= -2 * scale * self._scale
        products += self._squares
        return products

    def nearest(self, points: NDArray[np.floating]) -> NDArray[np.int64]:
        """Index (T,) of the entry with the least squared distance; of equal ones the first."""
        pieces = (points[at : at + ROWS] for at in range(0, len(points), ROWS))
        found = [self.distances(piece).argmin(axis=1) for piece in pieces]
        return np.concatenate([np.zeros(0, np.int64), *found])


def _whole(rows: NDArray[np.float64], bits: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each row as whole numbers below 2^bits, and the power of two (T, 1) that they are times."""
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    scale = np.ldexp(1.0, np.frexp(largest)[1] - bits)
    return np.rint(rows / scale), scale
