"""Decoders that speak: weights that are read and multiplied fast, keys and values in slots.

One row's next position reads every weight once and multiplies it once, so that its time is that of
reading; a NAR's positions are so many that its time is that of multiplying. Whole numbers of 8 bits
do both faster than bfloat16, and that than float32.
"""

import logging
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from revoice.model.eights import Stack, product, rounded
from revoice.model.precision import DTYPES, computing
from revoice.model.rows import Rows, valid
from revoice.model.valle import AR, NAR, Attend, Layer

log = logging.getLogger(__name__)
LARGE = 2**25  # numbers in a decoder's matrices, from which on they take the time


class Product(nn.Module):
    """x W^T + b of float32 rows (P, in), float32 again, with W in the dtype of `weights`.

    int8: each output channel of W, and each row of x, in 127ths of its largest.
    """

    def __init__(self, weight: Tensor, bias: Tensor, weights: str) -> None:
        super().__init__()
        self.weights, self.bias = weights, bias.detach().float()
        if weights == "int8":
            self.weight, scales = rounded(weight.detach())
            self.scales = scales.squeeze(1)
        else:
            self.weight = weight.detach().to(DTYPES[weights])
            self.bias = self.bias.to(self.weight.dtype)

    def forward(self, x: Tensor, relu: bool = False) -> Tensor:
        if self.weights == "int8":
            return product(x, self.weight, self.scales, self.bias, relu)
        y = F.linear(x.to(self.weight.dtype), self.weight, self.bias).float()
        return F.relu(y) if relu else y


class FastDecoder(nn.Module):
    """A `Decoder` that computes outside of training, with its matrices as `weights`.

    `attending`: dtype of queries, keys and values.
    """

    def __init__(
        self, layers: list[Layer], norm: nn.Module, weights: str, attending: torch.dtype
    ) -> None:
        super().__init__()
        self.attending = attending
        self.norm1 = nn.ModuleList(layer.norm1 for layer in layers)
        self.norm2 = nn.ModuleList(layer.norm2 for layer in layers)
        self.norm = norm
        self.products = nn.ModuleList(
            nn.ModuleList(Product(*pair, weights) for pair in matrices(layer)) for layer in layers
        )
        self.heads = layers[0].self_attn.heads
        norms = list(zip(self.norm1, self.norm2, strict=True))
        four = [list(each) for each in self.products]  # type: ignore[call-overload]
        self.stack = Stack.of_layers(norms, four) if weights == "int8" else None

    def forward(
        self, x: Tensor, attend: Attend, stage: Tensor | None = None, **training: bool
    ) -> Tensor:
        """As a `Decoder` does."""
        condition = () if stage is None else (stage,)
        layers = zip(self.norm1, self.norm2, self.products, strict=True)
        for number, (norm1, norm2, products) in enumerate(layers):
            into, out, up, down = list(products)  # type: ignore[call-overload]
            qkv = into(norm1(x, *condition)).unflatten(1, (3, self.heads, -1))
            y = attend(qkv.to(self.attending), number, 0.0)
            x = x + out(y.flatten(1).float())
            x = x + down(up(norm2(x, *condition), relu=True))
        return self.norm(x, *condition)


def matrices(layer: Layer) -> list[tuple[Tensor, Tensor]]:
    """Into attention, out of it, up and down; with what is added to each."""
    attention = layer.self_attn
    linears = (attention.out_proj, layer.linear1, layer.linear2)
    into: tuple[Tensor, Tensor] = (attention.in_proj_weight, attention.in_proj_bias)
    return [into, *((linear.weight, linear.bias) for linear in linears)]


def ready(ar: AR, nar: NAR, weights: str = "auto") -> None:
    """Make a model ready to speak, in place: it cannot be trained or saved any more.

    `weights`: fp32 computes what it did before. `auto`: int8 on a CPU that is made for it, else
    bf16 where the device is, but fp32 for a decoder so small that rounding takes the time.
    """
    for model, name in ((ar, "ar_decoder"), (nar, "nar_decoder")):
        decoder = getattr(model, name)
        layers = list(decoder.layers)
        device = layers[0].linear1.weight.device
        chosen = weights
        if weights == "auto":
            large = 12 * model.config.width**2 * len(layers) >= LARGE
            eight = device.type == "cpu" and torch.cpu._is_vnni_supported()
            best = "int8" if eight else computing("auto", device)
            chosen = best if large else "fp32"
        elif weights == "int8" and device.type != "cpu":
            chosen = computing("auto", device)
            log.warning("weights: int8 is for CPUs: %s on %s", chosen, device)
        # the AR's keys and values are kept: one query looks at them in float32 the fastest
        half = chosen != "fp32" and model is nar
        attending = DTYPES[computing("auto" if half else "fp32", device)]
        setattr(model, name, FastDecoder(layers, decoder.norm, chosen, attending))


@dataclass
class Slots:
    """Keys and values of as many utterances as are spoken at a time, each in its slot.

    `values`: (layers, 2, slots, heads, capacity, head width), of which the first `lens` (slots,)
    positions are there; allocated once. `opened` are zero or written: what a mask hides must be a
    number, or it comes through.
    """

    values: Tensor
    lens: Tensor
    opened: int = 0

    @classmethod
    def of(cls, ar: AR, slots: int, capacity: int) -> "Slots":
        """None there yet."""
        config, like = ar.config, ar.ar_predict_layer.weight
        sizes = (config.heads, capacity, config.width // config.heads)
        values = like.new_empty(config.layers, 2, slots, *sizes)
        return cls(values, torch.zeros(slots, dtype=torch.long, device=like.device))

    def prefix(self, ar: AR, x: Tensor, rows: Rows, which: Tensor) -> Tensor:
        """Read (P, width) packed prefixes into the slots `which`; the last of each (N, width)."""
        slots = which.tolist()
        self._open(max(rows.lens))

        def attend(qkv: Tensor, layer: int, dropout: float) -> Tensor:
            for slot, one in zip(slots, qkv.split(rows.lens), strict=True):
                self.values[layer, :, slot, :, : len(one)] = one[:, 1:].permute(1, 2, 0, 3)
            return rows.attend(qkv, layer, dropout)

        hidden = ar.ar_decoder(x, attend)
        self.lens[which] = rows.positions
        return hidden[rows.positions.cumsum(0) - 1]

    def step(self, ar: AR, x: Tensor) -> Tensor:
        """The next position of every slot: (slots, width) to (slots, width)."""
        longest = int(self.lens.max())
        if len(x) == 1 and (stack := getattr(ar.ar_decoder, "stack", None)) is not None:
            # one row is too little work for operations of torch
            self.opened = max(self.opened, longest + 1)
            self.lens += 1
            return ar.ar_decoder.norm(stack(x, self.values, longest))
        unequal = int(self.lens.min()) < longest
        mask = valid(self.lens + 1, longest + 1)[:, None, None] if unequal else None
        every = torch.arange(len(x), device=x.device)
        self._open(longest + 1)

        def attend(qkv: Tensor, layer: int, _: float) -> Tensor:
            stored = self.values[layer]
            stored[:, every, :, self.lens] = qkv[:, 1:]
            keys, values = stored[:, :, :, : longest + 1]
            query = qkv[:, 0].unsqueeze(2)
            return F.scaled_dot_product_attention(query, keys, values, mask).squeeze(2)

        hidden = ar.ar_decoder(x, attend)
        self.lens += 1
        return hidden

    def _open(self, end: int) -> None:
        if end > self.opened:
            self.values[:, :, :, :, self.opened : end] = 0
            self.opened = end

    def keep(self, slots: Tensor) -> None:
        """Keep these slots alone."""
        self.values, self.lens = self.values[:, :, slots], self.lens[slots]
