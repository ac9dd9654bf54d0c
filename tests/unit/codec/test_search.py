"""The nearest entry: exact sums, so that nothing about the machine shows."""

from fractions import Fraction

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from revoice.codec.search import Search


@pytest.mark.parametrize("columns", [1, 2, 12, 53, 128])
def test_against_exact_arithmetic(columns: int) -> None:
    random = np.random.default_rng(1)
    points = random.normal(size=(300, columns)) * random.uniform(0.01, 100, size=(300, 1))
    entries = random.normal(size=(100, columns))
    exact = np.square(points[:, None] - entries).sum(-1)
    shifted = Search(entries).distances(points) + np.square(points).sum(1, keepdims=True)
    scale = np.square(points).sum(1, keepdims=True) + np.square(entries).sum(1)
    assert (np.abs(shifted - exact) < 1e-6 * scale).all()
    found = Search(entries).nearest(points)
    lost = exact[np.arange(300), found] - exact.min(1)
    assert (lost < 1e-6 * scale.max(1)).all()


def test_of_equal_entries_the_first() -> None:
    random = np.random.default_rng(2)
    entries = np.repeat(random.normal(size=(20, 5)), 3, axis=0)
    points = np.concatenate([entries, (entries[::3] + entries[[3]]) / 2])
    assert (Search(entries).nearest(points) % 3 == 0).all()
    middle = np.array([[0.5, 0.0], [0.5, 7.0]])
    assert Search(np.array([[1.0, 0], [0, 0]])).nearest(middle).tolist() == [0, 0]
    assert Search(np.array([[0.0, 0], [1, 0]])).nearest(middle).tolist() == [0, 0]


def test_no_points_and_zeros() -> None:
    assert Search(np.ones((4, 3))).nearest(np.zeros((0, 3))).shape == (0,)
    assert Search(np.zeros((4, 3))).nearest(np.zeros((2, 3))).tolist() == [0, 0]


@pytest.mark.parametrize("columns", [8, 53, 128])
def test_the_order_of_sums_does_not_show(columns: int) -> None:
    random = np.random.default_rng(4)
    points = random.normal(size=(500, columns)).astype(np.float32)
    entries = random.normal(size=(256, columns)).astype(np.float32)
    expected = Search(entries).distances(points)
    order = random.permutation(columns)
    # the entries' own squares are summed in the order of the columns, whatever computes
    squares = np.square(entries.astype(np.float64))
    own = sum(squares.T) - sum(squares[:, order].T)
    assert (
        np.abs(Search(entries[:, order]).distances(points[:, order]) + own - expected).max() < 1e-11
    )
    for threads in (1, 2, 4):
        with threadpool_limits(threads):
            assert (Search(entries).distances(points) == expected).all()
    for rows in (1, 7, 64):
        pieces = [Search(entries).distances(points[at : at + rows]) for at in range(0, 500, rows)]
        assert (np.concatenate(pieces) == expected).all()


def test_products_are_exact() -> None:
    """The worst case: all bits set, all of one sign, as many columns as EnCodec has."""
    points = np.full((1, 128), 1 - 2**-30)
    entries = np.full((2, 128), 1 - 2**-30)
    entries[1, 77] = 0.5
    whole = Fraction(2**23 - 1 + 1, 2**23)  # rounded up to 1
    exact = [sum(whole * (whole if e != 0.5 else Fraction(1, 2)) for e in row) for row in entries]
    own = np.square(entries)
    found = Search(entries).distances(points)[0]
    for k in range(2):
        assert found[k] == -2 * float(exact[k]) + sum(own[k].tolist())
