"""FB-CLIP as the training loop sees it: prompts to prototypes, cached tokens to margins."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from calibrate.tuning.learner import Learner, Published, Tensors
from calibrate.tuning.losses import tuning_losses
from calibrate.tuning.parameters import LearnedModules, Tuned, fresh
from fbclip.backbone.tower import Backbone
from fbclip.method.config import FBCLIPConfig
from fbclip.method.model import HeadOutput
from fbclip.method.text import TextTower

PUBLISHED = Published(epochs=3, learning_rate=5e-5, betas=(0.5, 0.999), batch=4)
_SHIFT = "selector.2.bias"


class FbClipLearner(Learner):
    """Head and prompts. Views hold no learned parameter, so they are computed without a gradient."""

    losses_named = ("total", "focal_image", "focal_pixel", "dice", "consistency")

    def __init__(
        self, backbone: Backbone, tower: TextTower, method: FBCLIPConfig, start: LearnedModules | None = None
    ) -> None:
        """`start`: parameters to go on from, which are trained in place; without, fresh ones from torch's seed."""
        super().__init__(backbone)
        self.method, self.tower = method, tower
        self.own = (start or fresh(backbone.config, method)).to(self.device)

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        return {"head.": self.own.head, "prompts.": self.own.prompts}

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        return len(self.method.feature_layers), self.backbone.grid**2 + 1, self.backbone.config.width

    def features(self, images: Tensor) -> Tensor:
        return torch.stack(self.backbone(images, self.method.feature_layers), dim=1)

    def parameters(self) -> list[nn.Parameter]:
        # A softmax does not see a common shift: rounding alone would move this one, in another way in each process.
        return [
            parameter
            for module in self.modules.values()
            for name, parameter in module.named_parameters()
            if not name.endswith(_SHIFT)
        ]

    def shared(self) -> Tensors:
        """Prototypes (2,D)."""
        return (self.own.prompts(self.tower),)

    def outputs(self, features: Tensor, shared: Tensors, _mask: Tensor | None, /) -> Tensors:
        """Margins (1,N), and the mean (1,D) of what SCR looks at."""
        head = self.own.head
        with torch.no_grad():
            views = list(head.views(list(features.unsqueeze(1))))
        found = head.score(views, shared[0], self.backbone.projection)
        return found.margins, found.projected.mean(dim=1)

    def losses(self, outputs: Tensors, shared: Tensors, labels: Tensor, masks: Tensor | None, /) -> list[Tensor]:
        margins, mean = outputs
        temperature, scr = self.method.score.temperature, self.method.consistency
        # SCR takes the mean over tokens first, and the mean of one is itself.
        found = tuning_losses(HeadOutput(margins, mean.unsqueeze(1)), shared[0], labels, masks, temperature, scr)
        return [found.total, found.focal_image, found.focal_pixel, found.dice, found.consistency]

    def learned(self) -> Tuned:
        with torch.no_grad():
            prototypes = self.own.prompts(self.tower).cpu()
        own = self.own.to(torch.device("cpu"))
        return Tuned(LearnedModules(own.head.eval(), own.prompts.eval()), prototypes)
