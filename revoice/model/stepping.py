"""Decoders that speak: weights that are read and multiplied fast, keys and values in slots.

One row's next position reads every weight once and multiplies it once, so that its time is that of
reading; a NAR's positions are so many that its time is that of multiplying. Whole numbers of 8 bits
do both faster than bfloat16, and that than float32.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from revoice.devices import sent
from revoice.model.precision import DTYPES, computing
from revoice.model.rows import Rows, larger, valid
from revoice.model.valle import AR, NAR, Attend, Layer

log = logging.getLogger(__name__)
LARGE = 2**25  # numbers in a decoder's matrices, from which on they take the time
BUCKET = 256  # keys: each graph reads a multiple of so many


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

    def forward(self, x: Tensor) -> Tensor:
        if self.weights != "int8":
            return F.linear(x.to(self.weight.dtype), self.weight, self.bias).float()
        whole, scales = rounded(x)
        y = torch._int_mm(whole, self.weight.t()).float()
        return y.mul_(scales).mul_(self.scales).add_(self.bias)


def rounded(x: Tensor) -> tuple[Tensor, Tensor]:
    """(N, K) to int8, and (N, 1) float32 that scales it back: the largest of a row is 127."""
    x = x.float()
    scales = (x.abs().amax(1, keepdim=True) / 127).clamp_(min=1e-12)
    return (x / scales).round_().char(), scales


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
            x = x + down(F.relu(up(norm2(x, *condition))))
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


class Graph:
    """What a GPU does for a function of one tensor, recorded once, then launched as a whole.

    All else that the function reads and writes has to stay where it is, and to keep its shape; the
    host must learn nothing from it. It is called twice: what it writes, it may write again.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], x: Tensor) -> None:
        self.x, self.graph = x.clone(), torch.cuda.CUDAGraph()
        with torch.cuda.device(x.device):
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):  # what libraries prepare at their first call
                function(self.x)
            # waits for it; other threads may compute meanwhile
            with torch.cuda.graph(self.graph, stream=aside, capture_error_mode="thread_local"):
                self.y = function(self.x)

    def __call__(self, x: Tensor) -> Tensor:
        self.x.copy_(x)
        self.graph.replay()
        return self.y.clone()


def has_graphs(x: Tensor) -> bool:
    """Whether its device records them."""
    return x.device.type == "cuda"


@dataclass
class Slots:
    """Keys and values of as many utterances as are spoken at a time, each in its slot.

    `values`: (layers, 2, slots, heads, capacity, head width), of which the first `lens` (slots,)
    positions are there; allocated once. `opened` are zero or written: what a mask hides must be a
    number, or it comes through. `ends`: `lens` as the host knows them, or more, so that it need not
    ask a GPU, which computes steps as `graphs`, one for each number of keys.
    """

    values: Tensor
    lens: Tensor
    ends: list[int]
    opened: int = 0
    graphs: dict[int, Graph] = field(default_factory=dict)

    @classmethod
    def of(cls, ar: AR, slots: int, capacity: int) -> "Slots":
        """None there yet."""
        config, like = ar.config, ar.ar_predict_layer.weight
        sizes = (config.heads, capacity, config.width // config.heads)
        values = like.new_empty(config.layers, 2, slots, *sizes)
        return cls(values, torch.zeros(slots, dtype=torch.long, device=like.device), [0] * slots)

    def prefix(self, ar: AR, x: Tensor, rows: Rows, which: Tensor) -> Tensor:
        """Read (P, width) packed prefixes into the slots `which`; the last of each (N, width)."""
        slots = which.tolist()
        self._open(max(rows.lens))

        def attend(qkv: Tensor, layer: int, dropout: float) -> Tensor:
            for slot, one in zip(slots, qkv.split(rows.lens), strict=True):
                self.values[layer, :, slot, :, : len(one)] = one[:, 1:].permute(1, 2, 0, 3)
            return rows.attend(qkv, layer, dropout)

        hidden, lens = ar.ar_decoder(x, attend), sent(rows.positions, x.device)
        self.lens[which] = lens
        for slot, end in zip(slots, rows.lens, strict=True):
            self.ends[slot] = end
        return hidden[lens.cumsum(0) - 1]

    def step(self, ar: AR, x: Tensor) -> Tensor:
        """The next position of every slot: (slots, width) to (slots, width)."""
        if has_graphs(x):
            end = min(-(-(max(self.ends) + 1) // BUCKET) * BUCKET, self.capacity)
            self._open(end)
            if end not in self.graphs:
                self.graphs[end] = Graph(partial(self._reach, ar, end=end, masked=True), x)
            hidden = self.graphs[end](x)
        else:
            longest = int(self.lens.max())
            self._open(longest + 1)
            hidden = self._reach(ar, x, longest + 1, int(self.lens.min()) < longest)
        self.lens += 1
        self.ends = [end + 1 for end in self.ends]
        return hidden

    def _reach(self, ar: AR, x: Tensor, end: int, masked: bool) -> Tensor:
        """The next position of every slot, which looks at keys before `end`: if masked, its own."""
        mask = valid(self.lens + 1, end)[:, None, None] if masked else None
        every = torch.arange(len(x), device=x.device)

        def attend(qkv: Tensor, layer: int, _: float) -> Tensor:
            stored = self.values[layer]
            stored[:, every, :, self.lens] = qkv[:, 1:]
            keys, values = stored[:, :, :, :end]
            query = qkv[:, 0].unsqueeze(2)
            return F.scaled_dot_product_attention(query, keys, values, mask).squeeze(2)

        return ar.ar_decoder(x, attend)

    def rest(self, idle: Sequence[bool]) -> None:
        """Let the slots of nobody begin anew, or they would come to their end."""
        self.lens.masked_fill_(sent(torch.tensor(idle), self.lens.device), 0)
        self.ends = [0 if free else end for free, end in zip(idle, self.ends, strict=True)]

    def _open(self, end: int) -> None:
        if end > self.opened:
            self.values[:, :, :, :, self.opened : end] = 0
            self.opened = end

    @property
    def capacity(self) -> int:
        """Positions that a slot has room for."""
        return self.values.shape[4]

    def moved(self, which: Tensor, slots: int, capacity: int) -> "Slots":
        """Those of `which` as the first of so many slots, with room for so many positions."""
        layers, two, _, heads, _, width = self.values.shape
        values = self.values.new_empty(layers, two, slots, heads, capacity, width)
        opened = self.opened if len(which) else 0
        values[:, :, len(which) :, :, :opened] = 0
        ends = [0] * slots
        for slot, other in enumerate(which.tolist()):
            values[:, :, slot, :, :opened] = self.values[:, :, other, :, :opened]
            ends[slot] = self.ends[other]
        return Slots(values, larger(self.lens[which], slots), ends, opened)
