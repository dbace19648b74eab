"""What a method is to the training loop: frozen features of an image, what is learned, and its losses.

A step has three parts, so that many processes can share it and still take the very step of one. What depends on no
image, such as prompts through the text tower, every process computes for itself. What depends on one image is computed
image by image, by whichever process has it. The losses are over all images of the batch together, since a dice or a
mean over pairs of patches is no sum over images.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from calibrate.tuning.side_by_side import SideBySide
from fbclip.artefacts.adapter import Adapter
from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.tower import Backbone

Tensors = tuple[Tensor, ...]


class Tunable(Protocol):
    """What was learned, on the CPU."""

    def adapter(
        self, backbone_sha256: str, backbone: BackboneConfig, provenance: Mapping[str, object], trusted: bool = False
    ) -> Adapter:
        """As an adapter bound to the weights it was tuned on, which may have been taken on trust."""


@dataclass(frozen=True)
class Published:
    """How the authors train: epochs, Adam's rate and betas, images a step."""

    epochs: int
    learning_rate: float
    betas: tuple[float, float]
    batch: int


class Learner(ABC):
    """A method with its parameters, beside the frozen model. Images (B,3,S,S), masks (B,S,S), labels (B,)."""

    losses_named: ClassVar[tuple[str, ...]]
    """What `losses` gives, the total first."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.device = backbone.projection.device
        self.side_by_side = SideBySide(self.device)

    @property
    @abstractmethod
    def modules(self) -> Mapping[str, nn.Module]:
        """What is learned, by the prefix of its tensors in an adapter."""

    @property
    @abstractmethod
    def feature_shape(self) -> tuple[int, int, int]:
        """Of one image's features, (K,N,C)."""

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """What of the images nothing learned changes, (B,K,N,C)."""

    @abstractmethod
    def shared(self) -> Tensors:
        """What depends on parameters and on no image."""

    @abstractmethod
    def outputs(self, features: Tensor, shared: Tensors, mask: Tensor | None, /) -> Tensors:
        """Of one image (K,N,C), with its mask (1,S,S) where it is known: (1,...) each, all that the losses ask for."""

    @abstractmethod
    def losses(self, outputs: Tensors, shared: Tensors, labels: Tensor, masks: Tensor | None, /) -> list[Tensor]:
        """Scalars, the total first, of the outputs of all images, (B,...) each; without masks those of pixels are 0."""

    @abstractmethod
    def learned(self) -> Tunable:
        """What was learned so far, moved to the CPU; the learner is of no use afterwards."""

    def close(self) -> None:
        """End its threads."""
        self.side_by_side.close()

    def parameters(self) -> list[nn.Parameter]:
        """Those that an optimiser moves."""
        return [parameter for module in self.modules.values() for parameter in module.parameters()]

    def tensors(self) -> dict[str, Tensor]:
        """Copies on the CPU, by name."""
        return {
            f"{prefix}{name}": value.detach().cpu().clone()
            for prefix, module in self.modules.items()
            for name, value in module.state_dict().items()
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `tensors`; raises RuntimeError for tensors of other names or shapes."""
        for prefix, module in self.modules.items():
            own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            module.load_state_dict(own, strict=True)


def together(outputs: Sequence[Tensors]) -> Tensors:
    """The outputs of several images as those of a batch."""
    return tuple(torch.cat(column) for column in zip(*outputs, strict=True))
