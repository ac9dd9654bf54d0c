"""Packed rows, and what each of their positions attends to."""

from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from revoice.model import rows as module
from revoice.model.rows import Rows, valid

TEXT, AUDIO, HEADS, WIDTH = [5, 1, 3, 0], [130, 300, 2, 4], 2, 8


def ar_mask(text_lens: Tensor, text_length: int, audio_length: int) -> Tensor:
    """Prefix mask (N, 1, L, L), True = may see: text sees text, audio sees text and its own past.

    Padded text is seen by nobody but itself (a row that sees nothing would give NaN); padded audio
    comes after all audio, so that the causal order hides it.
    """
    length = text_length + audio_length
    position = torch.arange(length, device=text_lens.device)
    is_text = position < text_length
    causal = (position.unsqueeze(1) >= position) & ~is_text
    text = valid(text_lens, length)[:, None, None, :] & is_text
    return causal | text | torch.eye(length, dtype=torch.bool, device=text_lens.device)


def made(causal: bool, text: list[int] = TEXT, audio: list[int] = AUDIO) -> Rows:
    return Rows(torch.tensor(text), torch.tensor(audio), causal)


def drawn(rows: Rows, dtype: torch.dtype = torch.float32) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(sum(rows.lens), 3, HEADS, WIDTH).to(dtype).requires_grad_()


def by_the_mask(rows: Rows, qkv: Tensor) -> Tensor:
    """What attention gives over padded text and padded audio, by a mask of all pairs."""
    text, audio = int(rows.text_lens.max()), int(rows.audio_lens.max())
    seen = torch.cat((valid(rows.text_lens, text), valid(rows.audio_lens, audio)), 1)
    mask = ar_mask(rows.text_lens, text, audio) if rows.causal else seen[:, None, None]
    padded = qkv.new_zeros(*seen.shape, *qkv.shape[1:]).masked_scatter(
        seen[..., None, None, None], qkv
    )
    query, key, value = padded.permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(query, key, value, mask).transpose(1, 2)[seen]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kept", [module.KEPT, 0])
def test_attention_is_that_of_the_mask(
    monkeypatch: pytest.MonkeyPatch, causal: bool, kept: int
) -> None:
    """Products in chunks, and torch's own where they would be many."""
    monkeypatch.setattr(module, "KEPT", kept)
    rows = made(causal)
    qkv, weights = drawn(rows), torch.randn(sum(rows.lens), HEADS, WIDTH)
    found, expected = rows.attend(qkv, 0, 0.0), by_the_mask(rows, qkv)
    assert torch.allclose(found, expected, atol=1e-6)
    gradients = [torch.autograd.grad((y * weights).sum(), qkv)[0] for y in (found, expected)]
    assert torch.allclose(*gradients, atol=1e-5)


@pytest.mark.parametrize("causal", [True, False])
def test_gradients_by_differences(monkeypatch: pytest.MonkeyPatch, causal: bool) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    rows = made(causal, [2, 1], [3, 2])
    qkv = drawn(rows, torch.float64)
    assert torch.autograd.gradcheck(lambda x: rows.attend(x, 0, 0.0), qkv)


@pytest.mark.parametrize("causal", [True, False])
def test_other_utterances_change_nothing(causal: bool) -> None:
    rows = made(causal)
    qkv = drawn(rows).detach()
    together = rows.attend(qkv, 0, 0.0).split(rows.lens)
    for i, alone in enumerate(qkv.split(rows.lens)):
        one = made(causal, [TEXT[i]], [AUDIO[i]])
        assert torch.allclose(one.attend(alone, 0, 0.0), together[i], atol=1e-6)


def test_half_precision() -> None:
    rows = made(True)
    qkv = drawn(rows)
    with torch.autocast("cpu", torch.bfloat16):
        found = rows.attend(qkv.bfloat16(), 0, 0.0)
    assert found.dtype == torch.bfloat16
    assert torch.allclose(found.float(), rows.attend(qkv, 0, 0.0), atol=3e-2)


def test_attention_drops_where_it_is_told_to() -> None:
    rows = made(False)
    qkv = drawn(rows).detach()
    torch.manual_seed(1)
    dropped = rows.attend(qkv, 0, 0.5)
    assert not torch.allclose(dropped, rows.attend(qkv, 0, 0.0), atol=1e-2)
    mean = torch.stack([rows.attend(qkv, 0, 0.5) for _ in range(400)]).mean(0)
    assert torch.allclose(mean, rows.attend(qkv, 0, 0.0), atol=0.5)


@pytest.mark.parametrize("causal", [True, False])
def test_flash_attention_over_rows_is_asked_for_the_same(
    monkeypatch: pytest.MonkeyPatch, causal: bool
) -> None:
    """What a GPU computes by rows of any length, here one row after the other."""

    def by_rows(q: Tensor, k: Tensor, v: Tensor, *how: Any, window_size: Any) -> Tensor:
        ends, same, longest, _ = how
        assert ends is same
        assert int(ends.diff().max()) == longest
        found = []
        for begin, end in pairwise(ends):
            one = (x[begin:end].transpose(0, 1) for x in (q, k, v))
            y = F.scaled_dot_product_attention(*one, is_causal=window_size == (-1, 0))
            found.append(y.transpose(0, 1))
        return torch.cat(found)

    monkeypatch.setattr(module, "varlen_attn", by_rows)
    rows = made(causal)
    qkv = drawn(rows).detach()
    found = rows._attend_packed(*qkv.unbind(1))
    assert torch.allclose(found, rows.attend(qkv, 0, 0.0), atol=1e-6)


def test_packing() -> None:
    rows = made(True)
    text, audio = torch.rand(4, 6, 3), torch.rand(4, 301, 3)
    packed = rows.pack(text, audio)
    first, second, *_ = packed.split(rows.lens)
    assert torch.equal(first, torch.cat((text[0, :5], audio[0, :130])))
    assert torch.equal(second, torch.cat((text[1, :1], audio[1, :300])))
    back = rows.audio(packed, 6, 301)
    assert torch.equal(back, audio * valid(rows.audio_lens, 301).unsqueeze(2))


@pytest.mark.parametrize("causal", [True, False])
def test_attention_is_the_same_without_a_gradient(causal: bool) -> None:
    """torch's own where one utterance sees all of itself, else products in chunks."""
    rows = made(causal, [40], [300])
    qkv = drawn(rows)
    found = rows.attend(qkv.detach(), 0, 0.0)
    assert torch.allclose(found, rows.attend(qkv, 0, 0.0), atol=1e-5)
    assert torch.allclose(found, by_the_mask(rows, qkv), atol=1e-5)
