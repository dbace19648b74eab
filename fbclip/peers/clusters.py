"""DBSCAN, as CLIP-AD uses it to find what most prompts agree on. Pure."""

from __future__ import annotations

import torch
from torch import Tensor

NOISE = -1


def dbscan(rows: Tensor, eps: float, min_samples: int) -> Tensor:
    """(N,D) -> (N,) int64 cluster numbers in the order of their first member, NOISE outside of all; euclidean.

    A row is a core where at least `min_samples` rows, itself among them, lie within `eps`; a row near cores of several
    clusters belongs to the first.
    """
    near = torch.cdist(rows.double(), rows.double(), compute_mode="donot_use_mm_for_euclid_dist") <= eps
    core = near.sum(dim=1) >= min_samples
    labels = torch.full((len(rows),), NOISE)
    number = 0
    for seed in range(len(rows)):
        if not core[seed] or labels[seed] != NOISE:
            continue
        waiting = [seed]
        labels[seed] = number
        while waiting:
            fresh = near[waiting.pop()] & (labels == NOISE)
            labels[fresh] = number
            waiting += (fresh & core).nonzero().flatten().tolist()
        number += 1
    return labels


def largest_cluster(labels: Tensor) -> Tensor:
    """(N,) bool: its members, of the lowest number where several are as large; all rows where there is no cluster."""
    found = labels[labels != NOISE]
    if not len(found):
        return torch.ones_like(labels, dtype=torch.bool)
    return labels == found.bincount().argmax()
