"""AF-CLIP as the training loop sees it: vectors before both prompts, and one adapter over aggregated tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from calibrate.tuning.learner import Published, Tensors
from calibrate.tuning.losses import focal
from calibrate.tuning.peer_learner import PeerLearner
from calibrate.tuning.peer_losses import afclip_losses, alignment, grid_masks, pair_sums
from fbclip.backbone.tower import Backbone
from fbclip.method.text import TextTower
from fbclip.peers.afclip import AfClip, AfLearned
from fbclip.peers.config import AfClipConfig
from fbclip.peers.output import square

PUBLISHED = Published(epochs=2, learning_rate=1e-4, betas=(0.5, 0.999), batch=8)


class AfClipLearner(PeerLearner):
    """released: with the gradient that the released code has by mistake, for comparing with it."""

    losses_named = ("total", "focal_image", "focal_pixel", "l1_pixel", "alignment")
    config: AfClipConfig
    module: AfLearned

    def __init__(
        self, backbone: Backbone, tower: TextTower, config: AfClipConfig, learned: AfLearned, released: bool = False
    ) -> None:
        super().__init__(backbone, tower, config, learned)
        # Its text is an argument here, since it is learned.
        nothing = torch.zeros(2, backbone.config.embed_dim, device=self.device)
        self._peer: nn.Module = AfClip(backbone, config, nothing, learned.adapter)
        self.released = released

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        return len(self.config.feature_layers), self.backbone.grid**2 + 1, self.backbone.config.width

    def features(self, images: Tensor) -> Tensor:
        return torch.stack(self.backbone(images, self.config.feature_layers), dim=1)

    def shared(self) -> Tensors:
        """Text (2,D)."""
        return (self.module.prompt(self.tower),)

    def outputs(self, features: Tensor, shared: Tensors, mask: Tensor | None, /) -> Tensors:
        """Margins (1,N); with a mask what patch alignment needs of pairs within the image, see `pair_sums`."""
        peer = self._peer
        assert isinstance(peer, AfClip)
        projected = peer.projected(dict(zip(self.config.feature_layers, features.unsqueeze(1), strict=True)))
        margins = peer.margins(projected, shared[0])
        if mask is None:
            return (margins,)
        small = grid_masks(mask, self.backbone.grid).flatten(1)
        return margins, *pair_sums([one[:, 1:] for one in projected], small)

    def losses(self, outputs: Tensors, _shared: Tensors, labels: Tensor, masks: Tensor | None, /) -> list[Tensor]:
        margins, *pairs = outputs
        probability = torch.sigmoid(margins)
        if masks is None:
            image, none = focal(probability[:, 0], labels), torch.zeros_like(margins[0, 0])
            return [image, image, none, none, none]
        small = grid_masks(masks, self.backbone.grid)
        aligned = alignment(pairs[0], pairs[1], bool((small == 0).any()))
        return afclip_losses(probability[:, 0], square(probability[:, 1:]), aligned, small, labels, self.released)
