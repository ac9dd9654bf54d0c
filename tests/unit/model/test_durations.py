"""How long symbols last: what the network says, and what it is taught."""

import pytest
import torch
from torch import Tensor

from revoice.model.durations import Durations, unexplained


def network(seed: int = 1) -> Durations:
    """One that listens to neighbours much more than a fresh one."""
    torch.manual_seed(seed)
    durations = Durations(20)
    for parameter in durations.parameters():
        parameter.data.mul_(2)
    return durations


def padding_of(lens: Tensor, length: int) -> Tensor:
    return torch.arange(length) >= lens[:, None]


def test_texts_do_not_depend_on_their_batch() -> None:
    durations, lens = network(), torch.tensor([7, 3, 9, 1])
    text = torch.randint(20, (4, 9), generator=torch.Generator().manual_seed(1))
    padding = padding_of(lens, 9)
    said = durations(text.masked_fill(padding, 10**6), padding)
    assert said.dtype == torch.float32
    assert (said[padding] == 0).all()
    assert (said[~padding] > 0).all()
    for row, length in enumerate(lens.tolist()):
        alone = durations(text[row : row + 1, :length], torch.zeros(1, length, dtype=torch.bool))
        torch.testing.assert_close(said[row, :length], alone[0])


def test_neighbours_matter_and_others_do_not() -> None:
    durations, text = network(), torch.arange(19)[None]
    none = torch.zeros(1, 19, dtype=torch.bool)
    before = durations(text, none)
    other = text.clone()
    other[0, 9] = 19
    changed = (durations(other, none) - before)[0].abs() > 1e-6
    assert changed[3:16].sum() > 9  # six on each side are in sight
    assert not changed[:3].any()
    assert not changed[16:].any()


def test_what_is_off_is_a_share_of_the_squares() -> None:
    of = torch.tensor([[0, 1, 2, 2, 3, 0], [0, 1, 1, 1, 2, 0]])
    frames = torch.tensor([[3.0, 0, 50, 4], [2, 90, 1, 0]])
    padding = padding_of(torch.tensor([5, 5]), 6)
    said = torch.tensor([[3.0, 2, 7, 7, 2, 0], [2, 9, 9, 9, 3, 0]])
    # 3, 0 and 4 frames, then 2 and 1; parts of two and three symbols do not count
    expected = (0 + 4 + 4 + 0 + 4) / (9 + 0 + 16 + 4 + 1)
    assert unexplained(said, padding, of, frames).item() == pytest.approx(expected)


def test_texts_without_an_alignment_teach_nothing() -> None:
    said = torch.ones(1, 4, requires_grad=True)
    none = torch.zeros(1, 4, dtype=torch.bool)
    found = unexplained(said, none, torch.zeros(1, 4, dtype=torch.long), torch.tensor([[40]]))
    found.backward()
    assert found.item() == 0
    assert said.grad is not None
    assert said.grad.tolist() == [[0.0] * 4]


def test_it_learns_from_what_stands_beside() -> None:
    """A symbol lasts as long as its own number and its follower's say together."""
    generator = torch.Generator().manual_seed(1)
    durations = Durations(6)
    optimizer = torch.optim.AdamW(durations.parameters(), 5e-3)
    shares = []
    for _ in range(200):
        text = torch.randint(6, (16, 10), generator=generator)
        lasting = (text + 2 * text.roll(-1, 1)).float()[:, :9]
        none = torch.zeros(16, 9, dtype=torch.bool)
        of = torch.arange(9).expand(16, -1)
        ended = text[:, :9]
        lasting[:, 8] = 3.0
        loss = unexplained(durations(ended, none), none, of, lasting)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        shares.append(loss.item())
    assert shares[0] > 0.15
    assert sum(shares[-20:]) / 20 < 0.02
