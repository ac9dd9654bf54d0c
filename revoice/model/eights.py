"""Whole numbers of 8 bits in place of float32: rows that are rounded, products of them, and layers.

On a CPU that is made for it this is `kernels`, elsewhere torch's operations; both compute the same.
"""

from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@cache
def kernels() -> ModuleType | None:
    """What is compiled for this CPU; loaded where 8 bits are used, as numba takes a second."""
    from revoice.model import kernels

    return kernels if kernels.openmp() else None


def rounded(x: Tensor) -> tuple[Tensor, Tensor]:
    """(N, K) to int8, and (N, 1) float32 that scales it back: the largest of a row is 127."""
    x = x.float()
    if (compiled := kernels()) and x.is_cpu:
        whole, scales = x.new_empty(x.shape, dtype=torch.int8), x.new_empty(len(x), 1)
        compiled.run(compiled.round_rows, *x.shape, x.contiguous(), whole, scales)
        return whole, scales
    scales = (x.abs().amax(1, keepdim=True) / 127).clamp_(min=1e-12)
    return (x / scales).round_().char(), scales


def product(x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor, relu: bool) -> Tensor:
    """x W^T + b of float32 rows (P, K), float32 again; W (N, K) and (N,) are as of `rounded`."""
    whole, of_rows = rounded(x)
    y = torch._int_mm(whole, weight.t())
    if compiled := kernels():
        found = torch.empty(y.shape)
        compiled.run(compiled.scale_rows, *y.shape, int(relu), y, found, of_rows, scales, bias)
        return found
    found = y.float().mul_(of_rows).mul_(scales).add_(bias)
    return found.relu_() if relu else found


class Stack:
    """All layers for one row's next position, by `kernels`; the products' weights move into it.

    `norms`: the two of each layer; `products`: into attention, out of it, up and down.
    """

    def __init__(self, norms: Sequence[Sequence[Any]], products: Sequence[Sequence[Any]]) -> None:
        width = norms[0][0].weight.numel()
        # numpy asks the system for large pages: a position reads all of it
        self.weights = torch.from_numpy(np.empty((len(products), 12, width, width), np.int8))
        self.of = torch.empty(len(products), 3, 9 * width)
        self.norms = torch.empty(len(products), 4, width)
        for layer, (pair, four) in enumerate(zip(norms, products, strict=True)):
            of_norms = [tensor.detach() for norm in pair for tensor in (norm.weight, norm.bias)]
            self.norms[layer] = torch.stack(of_norms)
            for one, part in zip(four, self.weights[layer].split((3, 1, 4, 4)), strict=True):
                one.weight = part.view(one.weight.shape).copy_(one.weight)
            sums = [one.weight.sum(1, dtype=torch.int32) for one in four]
            rows = ([one.scales for one in four], sums, [one.bias for one in four])
            self.of[layer] = torch.stack([torch.cat(row).float() for row in rows])

    @classmethod
    def of_layers(
        cls, norms: Sequence[Sequence[Any]], products: Sequence[Sequence[Any]]
    ) -> "Stack | None":
        """None where kernels are not there, or are not for such norms or sizes."""
        plain = all(isinstance(norm, nn.LayerNorm) for pair in norms for norm in pair)
        fits = plain and norms[0][0].weight.numel() % 64 == 0 and norms[0][0].eps == 1e-5
        return cls(norms, products) if fits and kernels() else None

    def __call__(self, x: Tensor, values: Tensor, count: int) -> Tensor:
        """x (1, width) after `count` positions in the one slot of `Slots.values`, which it joins.

        Returns (1, width), before the last norm.
        """
        layers, _, _, heads, capacity, _ = values.shape
        compiled, y, width = kernels(), x.clone(), x.shape[1]
        assert compiled
        shared, own = (
            torch.empty(size)
            for size in (8 * width, torch.get_num_threads() * (2 * width + capacity))
        )
        sizes = (layers, heads, width, capacity, count + 1)
        compiled.run(
            compiled.position, *sizes, self.weights, self.of, self.norms, values, y, shared, own
        )
        return y
