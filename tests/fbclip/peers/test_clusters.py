"""DBSCAN against the library's."""

import pytest
import torch
from sklearn.cluster import DBSCAN

from fbclip.peers.clusters import dbscan, largest_cluster


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("eps", "least"), [(0.3, 3), (0.5, 6), (0.1, 2), (5.0, 4)])
def test_clusters_are_those_of_the_library(seed, eps, least):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(80, 2, generator=generator) * torch.tensor([1.0, 0.7])
    known = DBSCAN(eps=eps, min_samples=least).fit(rows.double().numpy()).labels_
    assert dbscan(rows, eps, least).tolist() == known.tolist()


def test_the_largest_cluster_is_the_first_of_equals_and_everything_where_there_is_none():
    assert largest_cluster(torch.tensor([1, 0, 1, 0, -1, -1, -1])).nonzero().flatten().tolist() == [1, 3]
    assert largest_cluster(torch.tensor([-1, -1])).all()
