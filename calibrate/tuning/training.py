"""The tuning loop: frozen backbone, learned head and prompts. Section 7 of the method.

Views hold no learned parameter, so they are computed once an image and only the head runs in the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from calibrate.errors import TrainingError
from calibrate.tuning.losses import Losses, tuning_losses
from fbclip.artefacts.adapter import Adapter, AdapterManifest
from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.tower import Backbone
from fbclip.method.config import FBCLIPConfig
from fbclip.method.model import Head
from fbclip.method.text import PromptFusion, TextTower

PAPER_LEARNING_RATE = 5e-5
PAPER_BETAS = (0.5, 0.999)


def make_optimiser(
    parameters: Iterable[nn.Parameter], learning_rate: float, betas: tuple[float, float]
) -> torch.optim.Adam:
    """Adam as the released code uses it: eps 1e-8, no weight decay."""
    return torch.optim.Adam(list(parameters), lr=learning_rate, betas=betas, eps=1e-8)


@dataclass(frozen=True, eq=False)
class TuningBatch:
    """images (B,3,S,S) normalised, labels (B,) and masks (B,S,S) float 0 or 1; masks may be unknown."""

    images: Tensor
    labels: Tensor
    masks: Tensor | None


class Batches(Protocol):
    """Anything that yields the batches of one epoch, seeded by the epoch's number."""

    def __call__(self, epoch: int) -> Iterator[TuningBatch]: ...


@dataclass(frozen=True)
class Recipe:
    """Hyper-parameters of one run; the defaults are the paper's."""

    epochs: int = 3
    learning_rate: float = PAPER_LEARNING_RATE
    betas: tuple[float, float] = PAPER_BETAS
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Tuned:
    """A head and prompts after training, on the CPU."""

    head: Head
    fusion: PromptFusion
    prototypes: Tensor

    def adapter(self, backbone_sha256: str, backbone: BackboneConfig, provenance: dict[str, object]) -> Adapter:
        """The result as an adapter bound to the weights it was tuned on."""
        manifest = AdapterManifest(
            backbone=backbone, backbone_sha256=backbone_sha256, method=self.head.config, provenance=provenance
        )
        tensors = {f"head.{k}": v.detach().clone() for k, v in self.head.state_dict().items()}
        tensors |= {f"prompts.{k}": v.detach().clone() for k, v in self.fusion.state_dict().items()}
        return Adapter(manifest, tensors, self.prototypes.detach().clone())


class TuningTrainer:
    """Head, prompts and optimiser of one run; each step takes backbone tokens, fresh or from a cache."""

    def __init__(
        self,
        backbone: Backbone,
        tower: TextTower,
        method: FBCLIPConfig,
        recipe: Recipe,
        start: tuple[Head, PromptFusion] | None = None,
    ) -> None:
        """`start`: parameters to go on from, which are trained in place; without, fresh ones from the seed."""
        torch.manual_seed(recipe.seed)
        self.method = method
        self.tower = tower
        self.projection = backbone.projection
        self.device = self.projection.device
        head, fusion = start or (
            Head(backbone.config.width, method),
            PromptFusion(backbone.config, method.text, method.modules.mstff),
        )
        self.head, self.fusion = head.to(self.device), fusion.to(self.device)
        parameters = [*self.head.parameters(), *self.fusion.parameters()]
        self.optimiser = make_optimiser(parameters, recipe.learning_rate, recipe.betas)

    def losses(self, tokens: Sequence[Tensor], labels: Tensor, masks: Tensor | None, where: str) -> Losses:
        """K tokens (B,N,C), labels (B,), masks (B,S,S) or None -> losses; TrainingError when they are not finite."""
        with torch.no_grad():
            views = list(self.head.views([layer.to(self.device) for layer in tokens]))
        prototypes = self.fusion(self.tower)
        output = self.head.score(views, prototypes, self.projection)
        if not torch.isfinite(output.margins).all():
            raise TrainingError(f"the model is not finite at {where}; lower the learning rate")
        known = None if masks is None else masks.to(self.device)
        temperature, scr = self.method.score.temperature, self.method.consistency
        losses = tuning_losses(output, prototypes, labels.to(self.device), known, temperature, scr)
        if not torch.isfinite(losses.total):
            raise TrainingError(f"the loss is not finite at {where}; lower the learning rate")
        return losses

    def step(self, tokens: Sequence[Tensor], labels: Tensor, masks: Tensor | None, where: str) -> list[float]:
        """One optimiser step; the losses before it, as `Losses.row`."""
        losses = self.losses(tokens, labels, masks, where)
        self.optimiser.zero_grad()
        torch.autograd.backward(losses.total)
        self.optimiser.step()
        return losses.row()

    def finish(self) -> Tuned:
        """What was learned, moved to the CPU; the trainer is of no use afterwards."""
        with torch.no_grad():
            prototypes = self.fusion(self.tower)
        return Tuned(self.head.cpu().eval(), self.fusion.cpu().eval(), prototypes.cpu())


def tune(
    backbone: Backbone,
    tower: TextTower,
    method: FBCLIPConfig,
    batches: Batches,
    recipe: Recipe,
    progress: Callable[[int, int, list[float]], None],
    start: tuple[Head, PromptFusion] | None = None,
) -> Tuned:
    """Train from `start` or a seeded fresh start; `progress(epoch, step, losses)` is called after every step.

    Raises TrainingError when a margin or a loss is not finite.
    """
    trainer = TuningTrainer(backbone, tower, method, recipe, start)
    for epoch in range(recipe.epochs):
        for step, batch in enumerate(batches(epoch)):
            with torch.no_grad():
                tokens = backbone(batch.images.to(trainer.device), method.feature_layers)
            row = trainer.step(tokens, batch.labels, batch.masks, f"epoch {epoch}, step {step}")
            progress(epoch, step, row)
    return trainer.finish()
