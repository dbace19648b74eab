"""FAPrompt as the training loop sees it: static prompts that all images share, and adapted ones of each."""

from __future__ import annotations

from torch import Tensor

from calibrate.tuning.learner import Published, Tensors
from calibrate.tuning.peer_learner import PeerLearner, dual_features
from calibrate.tuning.peer_losses import faprompt_losses, two_channels
from fbclip.backbone.tower import Backbone
from fbclip.method.text import TextTower
from fbclip.peers.config import FaPromptConfig
from fbclip.peers.faprompt import FaPrompt, FineMargins, FinePrompts

PUBLISHED = Published(epochs=10, learning_rate=1e-3, betas=(0.5, 0.999), batch=8)


class FaPromptLearner(PeerLearner):
    """The text tower runs for every image, with a gradient."""

    losses_named = ("total", "pixel", "image", "image_focal", "orthogonality", "prior")
    config: FaPromptConfig
    module: FinePrompts

    def __init__(self, backbone: Backbone, tower: TextTower, config: FaPromptConfig, prompts: FinePrompts) -> None:
        super().__init__(backbone, tower, config, prompts)
        self._peer = FaPrompt(backbone, config, prompts, tower)

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        return 1, self.backbone.grid**2 + 1, self.backbone.config.embed_dim

    def features(self, images: Tensor) -> Tensor:
        return dual_features(self._peer.features, images)

    def shared(self) -> Tensors:
        """The static prompts, raw: normal (1,D) and abnormal (1,P,D)."""
        return self.module.normal(self.tower), self.module.abnormal(self.tower)

    def outputs(self, features: Tensor, shared: Tensors, _mask: Tensor | None, /) -> Tensors:
        """Static and adapted margins (1,h,h), the class token's (1,) and the bias (1,d)."""
        normal, abnormal = shared
        found = self._peer.margins(features[:, 0], features, normal, abnormal)
        return found.static, found.adapted, found.cls, found.bias

    def losses(self, outputs: Tensors, shared: Tensors, labels: Tensor, masks: Tensor | None, /) -> list[Tensor]:
        static, adapted, cls, bias = outputs
        found = FineMargins(static, adapted, cls, shared[1], bias)
        maps: list[Tensor | None] = [None, None]
        if masks is not None:
            maps = [two_channels(grid, masks.shape[-1]) for grid in (static, adapted)]
        return faprompt_losses(maps[0], maps[1], cls, found.score, found.abnormal[0], bias, masks, labels)
