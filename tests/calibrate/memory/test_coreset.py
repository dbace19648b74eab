"""The coreset is the plain greedy choice, within twice the best radius."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calibrate.memory.coreset import coreset


def squared(points: torch.Tensor) -> torch.Tensor:
    return torch.cdist(points.double(), points.double()).square()


def radius(points: torch.Tensor, chosen) -> float:
    return float(squared(points)[:, list(chosen)].amin(1).max())


def naive(points: torch.Tensor, first: int, count: int) -> list[int]:
    distances, chosen = squared(points), [first]
    nearest = distances[first]
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, distances[chosen[-1]])
    return chosen


@given(st.integers(0, 10_000), st.integers(3, 9), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_coreset_covers_within_twice_the_best_radius(seed, n, k):
    points = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))
    chosen = coreset(points, k, seed)
    assert len(set(chosen.tolist())) == len(chosen) == min(k, n)
    best = min(radius(points, subset) for subset in itertools.combinations(range(n), k))
    assert radius(points, chosen) ** 0.5 <= 2 * best**0.5 + 1e-5


@pytest.mark.parametrize(("n", "k"), [(300, 300), (2500, 400)])
def test_coreset_in_blocks_is_the_plain_greedy_choice(n, k):
    points = torch.randn(n, 8, generator=torch.Generator().manual_seed(n))
    chosen = coreset(points, k, 5).tolist()
    assert chosen == naive(points, chosen[0], k)


def test_coreset_stops_at_copies_and_refuses_nothing_to_choose_from():
    points = torch.randn(4, 200).repeat(6, 1)
    assert len(coreset(points, 10, 0)) == 4
    with pytest.raises(ValueError, match="cannot be made"):
        coreset(points[:0], 3, 0)
