"""Dropout of random bytes."""

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from revoice.model.dropout import Dropout


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.001, 0.999])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_share_is_dropped_and_the_rest_scaled(share: float, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    x = torch.full((300, 1001), 2.0, dtype=dtype, requires_grad=True)
    y = Dropout(share)(x)
    drawn = max(1, min(255, round(256 * share))) / 256
    assert float((y == 0).float().mean()) == pytest.approx(drawn, abs=5e-3)
    assert y.detach().unique().tolist() == pytest.approx([0, 2 / (1 - drawn)], rel=1e-2)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad * 2, y.detach())


def test_every_byte_decides_for_itself() -> None:
    """Neighbours are independent, also those of one draw of the generator."""
    torch.manual_seed(1)
    kept = (Dropout(0.5)(torch.ones(2**20)) > 0).float().view(-1, 8) - 0.5
    correlation = kept.T @ kept / len(kept) * 4
    assert torch.allclose(correlation, torch.eye(8), atol=0.015)


def test_seeds() -> None:
    x, dropout = torch.ones(1000), Dropout(0.3)

    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return dropout(x)

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    assert not torch.equal(dropout(x), dropout(x))


def test_nothing_is_dropped_outside_training() -> None:
    x = torch.ones(100)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_gradient_checkpointing_drops_the_same_again() -> None:
    dropout, x = Dropout(0.5), torch.ones(1000, requires_grad=True)
    torch.manual_seed(1)
    y = checkpoint(lambda x: dropout(x).square(), x, use_reentrant=False)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, 2 * y.detach())
