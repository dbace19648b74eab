"""The one interface of the compared methods: images in, margins out; and how margins are put together.

A margin is the logit of an anomalous probability. Probabilities are averaged in float64, in which none that a
temperature of 0.07 allows is saturated.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fbclip.method.model import Record

LOGIT_FLOOR = 1e-9
"""Of numbers in 0..1 that are no probabilities and may be 0 or 1, such as distances."""


@dataclass(frozen=True, eq=False)
class PeerOutput:
    """image_margin (B,) and grid_margin (B,g,g), float32; g is the patch grid, or S where a method works on pixels."""

    image_margin: Tensor
    grid_margin: Tensor


class Peer(nn.Module):
    """A compared method on one frozen backbone. Normalised images (B,3,S,S) -> margins."""

    @abstractmethod
    def forward(self, images: Tensor, record: Record | None = None) -> PeerOutput:
        """`record` takes every intermediate by its name in a golden case."""


def unrecorded(_name: str, _tensor: Tensor) -> None:
    """The record of callers that want none."""


def two_way(features: Tensor, text: Tensor, temperature: float) -> Tensor:
    """Features (...,D) against text (2,D) or (B,2,D), [normal, abnormal]: (cos_abnormal − cos_normal)/temperature."""
    features, text = F.normalize(features, dim=-1), F.normalize(text, dim=-1)
    direction = (text[..., 1, :] - text[..., 0, :]) / temperature
    if direction.ndim == 1:
        return features @ direction
    return torch.einsum("b...d,bd->b...", features, direction)


def square(values: Tensor) -> Tensor:
    """(B,n·n) -> (B,n,n)"""
    side = round(values.shape[1] ** 0.5)
    return values.reshape(-1, side, side)


def logit_of(number: Tensor) -> Tensor:
    """Numbers in 0..1 -> float32 margins."""
    return torch.logit(number.double(), LOGIT_FLOOR).float()


def mean_margin(margins: Sequence[Tensor]) -> Tensor:
    """The margin of the mean of the probabilities."""
    return logit_of(torch.stack([torch.sigmoid(m.double()) for m in margins]).mean(dim=0))
