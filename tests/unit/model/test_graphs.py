"""Steps of a fixed shape, which a GPU records and launches as a whole; here without one."""

from collections.abc import Callable
from itertools import pairwise
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from revoice.model import stepping
from revoice.model.drawing import Sampling
from revoice.model.generate import synthesize
from revoice.model.rows import Rows
from revoice.model.stepping import Slots, ready
from revoice.model.valle import AR
from tests.unit.model.test_generate import CONFIG, REQUESTS, likely_eos, made, request, same

BUCKET = 8


class Recorded:
    """As a graph does, it computes with what was there at first, whose places have to stay."""

    made: ClassVar[list["Recorded"]] = []
    slots: Slots

    def __init__(self, function: Callable[[Tensor], Tensor], x: Tensor) -> None:
        self.function, self.x, self.calls = function, x.clone(), 0
        self.slots = function.func.__self__  # type: ignore[attr-defined]
        self.places = self.where()
        function(self.x)  # what it writes now is written again
        Recorded.made.append(self)

    def where(self) -> list[int]:
        return [self.slots.values.data_ptr(), self.slots.lens.data_ptr()]

    def __call__(self, x: Tensor) -> Tensor:
        assert self.where() == self.places
        self.x.copy_(x)
        self.calls += 1
        return self.function(self.x).clone()


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    """Graphs are made, of few keys each."""
    monkeypatch.setattr(Recorded, "made", [])
    monkeypatch.setattr(stepping, "BUCKET", BUCKET)
    monkeypatch.setattr(stepping, "has_graphs", lambda x: True)
    monkeypatch.setattr(stepping, "Graph", Recorded)
    return Recorded.made


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_graphs_say_the_same(
    monkeypatch: pytest.MonkeyPatch, recording: list[Recorded], batch_size: int
) -> None:
    ar, nar = made(CONFIG)
    ar = likely_eos(ar, -100.0)
    sampling = Sampling(top_k=1, max_frames=40)
    monkeypatch.setattr(stepping, "has_graphs", lambda x: False)
    expected = synthesize(ar, nar, REQUESTS, sampling, batch_size=batch_size)
    assert not recording
    monkeypatch.setattr(stepping, "has_graphs", lambda x: True)
    assert same(synthesize(ar, nar, REQUESTS, sampling, batch_size=batch_size), expected)
    assert sum(each.calls for each in recording) > 3 * len(recording) > 3
    ready(ar, nar, "fp32")
    assert same(synthesize(ar, nar, REQUESTS, sampling, batch_size=batch_size), expected)


def test_who_ends_makes_room_in_graphs(recording: list[Recorded]) -> None:
    """Idle slots, of which the host knows more than there is, do not leave theirs."""
    ar, nar = made(CONFIG)
    ar = likely_eos(ar, -100.0)
    requests = [request(1, i) for i in range(6)]  # 16 frames each
    requests.insert(3, request(6, 9))  # 96
    found = synthesize(ar, nar, requests, Sampling(top_k=1), batch_size=2)
    assert [len(one.codes) for one in found] == [16, 16, 16, 96, 16, 16, 16]
    assert recording


def filled(ar: AR, rows: Rows) -> Slots:
    """Slots with prefixes of made-up inputs."""
    torch.manual_seed(1)
    slots = Slots.of(ar, 3, 64)
    slots.prefix(ar, torch.randn(sum(rows.lens), CONFIG.width), rows, torch.arange(3))
    return slots


@torch.inference_mode()
def test_the_fixed_shape_computes_what_the_shortest_does(recording: list[Recorded]) -> None:
    ar, _ = made(CONFIG)
    rows = Rows(torch.tensor([4, 2, 7]), torch.tensor([3, 9, 1]), causal=True)
    slots = filled(ar, rows)
    inputs = torch.randn(30, 3, CONFIG.width)
    found = [slots.step(ar, x) for x in inputs]
    assert slots.lens.tolist() == slots.ends == [37, 41, 38]
    assert sorted(slots.graphs) == [16, 24, 32, 40, 48]
    other = filled(ar, rows)
    for y, x in zip(found, inputs, strict=True):
        longest = int(other.lens.max())
        other._open(longest + 1)
        assert torch.allclose(y, other._reach(ar, x, longest + 1, True), atol=1e-4)
        other.lens += 1
    assert all(one is not next_ for one, next_ in pairwise(found))


def test_the_host_learns_nothing_from_a_step() -> None:
    """On torch's device `meta` there is nothing to learn."""
    ar, nar = made(CONFIG)
    ready(ar, nar, "fp32")
    ar.to("meta")
    for products in ar.ar_decoder.products:
        for product in products:
            product.weight, product.bias = product.weight.to("meta"), product.bias.to("meta")
    slots = Slots.of(ar, 3, 64)
    x = torch.empty(3, CONFIG.width, device="meta")
    assert slots._reach(ar, x, 16, True).shape == x.shape
    with pytest.raises(NotImplementedError):
        slots.lens.tolist()


def test_slots_of_nobody_begin_anew() -> None:
    ar, _ = made(CONFIG)
    slots = Slots.of(ar, 3, 10)
    slots.lens += 5
    slots.ends = [5, 6, 7]
    slots.rest([False, True, False])
    assert slots.lens.tolist() == [5, 0, 5]
    assert slots.ends == [5, 0, 7]
    assert slots.moved(torch.tensor([2, 0]), 3, 12).ends == [7, 5, 0]
