"""The rows of a batch without their padding, and what each of their positions attends to."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.attention.varlen import varlen_attn
from torch.nn.utils.rnn import pad_sequence

from revoice.devices import sent

CHUNK = 128  # queries that are computed at a time; an AR's look at no key after the last of them
KEPT = 2**24  # probabilities of a layer that are kept for the gradient; more are left to torch


def valid(lens: Tensor, length: int) -> Tensor:
    """(N,) lengths to an (N, length) bool mask, True where there is no padding."""
    return torch.arange(length, device=lens.device) < lens.unsqueeze(1)


def places(seen: Tensor, device: torch.device) -> Tensor:
    """Where a mask is True, counted over all of it, on a device; a mask of the CPU asks no GPU."""
    return sent(seen.flatten().nonzero().squeeze(1), device)


def padded(rows: Sequence[Sequence[int] | NDArray], device: torch.device) -> tuple[Tensor, Tensor]:
    """Stack rows of different lengths, int64, zeros after their ends; and the lengths (N,)."""
    tensors = [torch.as_tensor(row, dtype=torch.long) for row in rows]
    whole = pad_sequence(tensors, batch_first=True)
    return whole.to(device), torch.tensor([len(row) for row in rows], device=device)


def larger(x: Tensor, *sizes: int) -> Tensor:
    """Its first dimensions of these sizes, with zeros after what is there; the others as they are.

    Raises ValueError where it is larger itself.
    """
    if any(size < there for size, there in zip(sizes, x.shape, strict=False)):
        raise ValueError(f"{tuple(x.shape)} does not fit into {sizes}")
    grown = x.new_zeros(*sizes, *x.shape[len(sizes) :])
    grown[tuple(slice(size) for size in x.shape[: len(sizes)])] = x
    return grown


@dataclass(frozen=True)
class Rows:
    """Where text and audio of N utterances are when they are packed: P positions in a row.

    Those of each utterance follow one another, first its text, then its audio. `causal`: text sees
    text, audio sees text and its own past; else both see both. With lengths on the CPU nothing
    here waits for a GPU.
    """

    text_lens: Tensor  # (N,)
    audio_lens: Tensor  # (N,)
    causal: bool
    where: torch.device | None = None  # where the positions are; None: where the lengths are

    @property
    def device(self) -> torch.device:
        """Where the packed positions are."""
        return self.where or self.text_lens.device

    @cached_property
    def positions(self) -> Tensor:
        """(N,) positions of each."""
        return self.text_lens + self.audio_lens

    @cached_property
    def lens(self) -> list[int]:
        """The same as numbers."""
        return self.positions.tolist()

    def pack(self, text: Tensor, audio: Tensor) -> Tensor:
        """(N, S, width) and (N, T, width), padded, to (P, width)."""
        x = torch.cat((text, audio), 1).flatten(0, 1)
        return x.index_select(0, self._places(text.shape[1], audio.shape[1]))

    def audio(self, x: Tensor, text_length: int, length: int) -> Tensor:
        """Of (P, width) the audio: (N, T, width), 0 in padding."""
        padded = x.new_zeros(len(self.lens) * (text_length + length), x.shape[1])
        padded = padded.index_copy(0, self._places(text_length, length), x)
        return padded.unflatten(0, (len(self.lens), -1))[:, text_length:]

    def _places(self, text_length: int, length: int) -> Tensor:
        seen = torch.cat((valid(self.text_lens, text_length), valid(self.audio_lens, length)), 1)
        return places(seen, self.device)

    def attend(self, qkv: Tensor, layer: int, dropout: float) -> Tensor:
        """Queries, keys and values (P, 3, heads, head width) to (P, heads, head width)."""
        device = qkv.device.type
        if not dropout and _flashes(qkv):
            return self._attend_packed(*qkv.unbind(1))
        if device == "cpu" and not dropout and self._size(qkv.shape[2]) <= KEPT:
            return _Attention.apply(qkv, self)
        query, key, value = self.pad(qkv).permute(2, 0, 3, 1, 4)
        mask = self.bias == 0
        y = F.scaled_dot_product_attention(query, key, value, mask, dropout)
        return self.unpad(y.transpose(1, 2))

    def pad(self, x: Tensor) -> Tensor:
        """(P, ...) to (N, L, ...), each utterance padded at its end with 0."""
        return pad_sequence(x.split(self.lens), batch_first=True)

    def unpad(self, x: Tensor) -> Tensor:
        """(N, L, ...) to (P, ...)."""
        return x.flatten(0, 1).index_select(0, self._within)

    def _size(self, heads: int) -> int:
        return heads * len(self.lens) * max(self.lens) ** 2

    @cached_property
    def _within(self) -> Tensor:
        """(P,) places of all positions where each utterance is padded at its end alone."""
        return places(valid(self.positions, max(self.lens)), self.device)

    @cached_property
    def bias(self) -> Tensor:
        """What is added to scores: (N, 1, L, L), the AR's, or (N, 1, 1, L), 0 or very little."""
        length, lens = max(self.lens), self.text_lens if self.causal else self.positions
        seen = valid(sent(lens, self.device), length).unsqueeze(1)
        if self.causal:
            position = torch.arange(length, device=self.device)
            seen = (position.unsqueeze(1) >= position) | seen
        return torch.zeros(seen.shape, device=seen.device).masked_fill(~seen, -3e4).unsqueeze(1)

    @cached_property
    def chunks(self) -> list[tuple[slice, int]]:
        """Queries to be computed at a time, and the end of the keys that they may see."""
        length, text = max(self.lens), int(self.text_lens.max())
        some = [slice(begin, min(begin + CHUNK, length)) for begin in range(0, length, CHUNK)]
        return [(each, max(each.stop, text) if self.causal else length) for each in some]

    def _attend_packed(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """On a GPU: flash attention over rows of any length."""

        def attend(
            q: Tensor, k: Tensor, v: Tensor, ends: Tensor, longest: int, causal: bool
        ) -> Tensor:
            window = (-1, 0) if causal else (-1, -1)
            y = varlen_attn(q, k, v, ends, ends, longest, longest, window_size=window)
            assert isinstance(y, Tensor)
            return y

        y = attend(query, key, value, self._starts[0], max(self.lens), self.causal)
        if not self.causal:
            return y
        # What is causal is right for the audio; text sees all of the text
        text, longest = self._text, int(self.text_lens.max())
        q, k, v = (x.index_select(0, text) for x in (query, key, value))
        return y.index_copy(0, text, attend(q, k, v, self._starts[1], longest, False))

    @cached_property
    def _starts(self) -> tuple[Tensor, Tensor]:
        """(N + 1,) int32: where each utterance begins among all positions, and among texts'."""
        of_each = (self.positions, self.text_lens)
        whole, text = (F.pad(each.cumsum(0), (1, 0)).int() for each in of_each)
        return sent(whole, self.device), sent(text, self.device)

    @cached_property
    def _text(self) -> Tensor:
        """The places of texts among all positions."""
        length = max(self.lens)
        return places(valid(self.text_lens, length)[valid(self.positions, length)], self.device)


def _flashes(qkv: Tensor) -> bool:
    """Whether flash attention over rows of any length is for this card and these heads."""
    if qkv.device.type != "cuda" or qkv.dtype == torch.float32:
        return False
    width = qkv.shape[-1]
    fits = width % 8 == 0 and width <= 256
    return fits and torch.cuda.get_device_capability(qkv.device) >= (8, 0)


class _Attention(torch.autograd.Function):
    """softmax(q k^T / sqrt(head width) + bias) v on the CPU, a chunk of queries at a time.

    Products of matrices in the dtype of `qkv`, which the scores have too; their softmax is computed
    in float32. torch's own kernel for CPUs takes twice as long.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, rows: Rows) -> Tensor:
        padded = rows.pad(qkv).permute(2, 0, 3, 1, 4)  # (3, N, heads, L, head width)
        shape, bias = padded.shape[1:], rows.bias.to(qkv.dtype)
        q, k, v = padded.flatten(1, 2).contiguous()
        q *= shape[-1] ** -0.5
        y, kept = torch.empty_like(q), []
        with torch.autocast("cpu", enabled=False):
            for some, end in rows.chunks:
                scores = q[:, some] @ k[:, :end].transpose(1, 2)
                of_some = bias[:, :, some] if rows.causal else bias
                scores.unflatten(0, shape[:2]).add_(of_some[..., :end])
                kept.append(scores.softmax(-1))
                y[:, some] = kept[-1] @ v[:, :end]
        ctx.save_for_backward(q, k, v, *kept)
        ctx.rows = rows
        return rows.unpad(y.view(shape).transpose(1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        q, k, v, *kept = ctx.saved_tensors
        gradient = ctx.rows.pad(gradient).transpose(1, 2)  # (N, heads, L, head width)
        shape, gradient = gradient.shape, gradient.reshape(q.shape)
        found = torch.zeros(3, *q.shape, dtype=q.dtype)
        of_q, of_k, of_v = found
        for (some, end), p in zip(ctx.rows.chunks, kept, strict=True):
            g = gradient[:, some]
            of_v[:, :end] += p.transpose(1, 2) @ g
            of_scores = torch._softmax_backward_data(g @ v[:, :end].transpose(1, 2), p, -1, p.dtype)
            of_q[:, some] = of_scores @ k[:, :end]
            of_k[:, :end] += of_scores.transpose(1, 2) @ q[:, some]
        of_q *= shape[-1] ** -0.5
        return ctx.rows.unpad(found.view(3, *shape).permute(1, 3, 0, 2, 4)), None
