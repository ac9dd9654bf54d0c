"""Dropout whose mask is made of random bytes, on the CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Dropout(nn.Module):
    """Drops a share of activations in training, and scales what is left by what was kept.

    On the CPU the share is rounded to 256ths: a byte decides on each activation, so that one number
    of the generator serves eight. torch draws one for each, which took longer than the layer.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.below = max(1, min(255, round(256 * share))) if share else 0  # bytes that drop

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.share:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.share)
        return x * self.mask(x)

    def mask(self, like: Tensor) -> Tensor:
        """Zeros and what scales the rest, of the shape and dtype of `like`."""
        draws = torch.empty(-(-like.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        kept = draws.view(torch.uint8)[: like.numel()].ge_(self.below)
        return kept.to(like.dtype).mul_(256 / (256 - self.below)).view(like.shape)

    def extra_repr(self) -> str:
        return f"{self.share}"
