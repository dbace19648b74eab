"""AnomalyCLIP as the training loop sees it: two prompts learn, the image side is frozen to its end."""

from __future__ import annotations

import torch
from torch import Tensor

from calibrate.tuning.learner import Published, Tensors
from calibrate.tuning.peer_learner import PeerLearner, dual_features
from calibrate.tuning.peer_losses import anomalyclip_losses, class_cross_entropy, two_channels
from fbclip.backbone.tower import Backbone
from fbclip.method.text import TextTower
from fbclip.peers.anomalyclip import AnomalyPrompts, DualFeatures
from fbclip.peers.config import AnomalyClipConfig
from fbclip.peers.output import square, two_way

PUBLISHED = Published(epochs=15, learning_rate=1e-3, betas=(0.5, 0.999), batch=8)


class AnomalyClipLearner(PeerLearner):
    """Trained by the map of the last layer, whichever layers judge, unless `layers` says otherwise."""

    losses_named = ("total", "image", "focal", "dice_abnormal", "dice_normal")
    config: AnomalyClipConfig
    module: AnomalyPrompts

    def __init__(
        self,
        backbone: Backbone,
        tower: TextTower,
        config: AnomalyClipConfig,
        prompts: AnomalyPrompts,
        layers: tuple[int, ...] = (),
    ) -> None:
        super().__init__(backbone, tower, config, prompts)
        self.layers = layers or config.feature_layers[-1:]
        self._side = DualFeatures(backbone, config.dual_blocks, self.layers)

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        return len(self.layers), self.backbone.grid**2 + 1, self.backbone.config.embed_dim

    def features(self, images: Tensor) -> Tensor:
        return dual_features(self._side, images)

    def shared(self) -> Tensors:
        """Text (2,D)."""
        return (self.module(self.tower),)

    def outputs(self, features: Tensor, shared: Tensors, _mask: Tensor | None, /) -> Tensors:
        """Margins (1,K,1+L) of K layers, the image's first."""
        return (two_way(features.unsqueeze(0), shared[0], self.config.temperature),)

    def losses(self, outputs: Tensors, _shared: Tensors, labels: Tensor, masks: Tensor | None, /) -> list[Tensor]:
        (margins,) = outputs
        if masks is None:
            image, none = class_cross_entropy(margins[:, 0, 0], labels), torch.zeros_like(margins[0, 0, 0])
            return [image, image, none, none, none]
        maps = [two_channels(square(layer), masks.shape[-1]) for layer in margins[:, :, 1:].unbind(dim=1)]
        return anomalyclip_losses(margins[:, 0, 0], maps, masks, labels)
