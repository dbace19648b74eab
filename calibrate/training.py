"""The tuning loop: frozen backbone, learned head and prompts. Section 7 of the method.

Views hold no learned parameter, so they are computed once a picture and only the head runs in the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from calibrate.errors import TrainingError
from calibrate.losses import tuning_losses
from fbclip.adapter import Adapter, AdapterManifest
from fbclip.backbone import Backbone
from fbclip.config import BackboneConfig, FBCLIPConfig
from fbclip.model import Head
from fbclip.text import PromptFusion, TextTower

PAPER_LEARNING_RATE = 5e-5
PAPER_BETAS = (0.5, 0.999)


def make_optimiser(
    parameters: Iterable[nn.Parameter], learning_rate: float, betas: tuple[float, float]
) -> torch.optim.Adam:
    """Adam as the released code uses it: eps 1e-8, no weight decay."""
    return torch.optim.Adam(list(parameters), lr=learning_rate, betas=betas, eps=1e-8)


@dataclass(frozen=True, eq=False)
class Batch:
    """images (B,3,S,S) normalised, labels (B,) and masks (B,S,S) float 0 or 1; masks may be unknown."""

    images: Tensor
    labels: Tensor
    masks: Tensor | None


class Batches(Protocol):
    """Anything that yields the batches of one epoch, seeded by the epoch's number."""

    def __call__(self, epoch: int) -> Iterator[Batch]: ...


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


def tune(
    backbone: Backbone,
    tower: TextTower,
    method: FBCLIPConfig,
    batches: Batches,
    recipe: Recipe,
    progress: Callable[[int, int, list[float]], None],
) -> Tuned:
    """Train from a seeded start; `progress(epoch, step, losses)` is called after every step.

    Raises TrainingError when a margin is not finite.
    """
    torch.manual_seed(recipe.seed)
    device = backbone.projection.device
    head = Head(backbone.config.width, method).to(device)
    fusion = PromptFusion(backbone.config, method.text, method.modules.mstff).to(device)
    parameters = [*head.parameters(), *fusion.parameters()]
    optimiser = make_optimiser(parameters, recipe.learning_rate, recipe.betas)
    for epoch in range(recipe.epochs):
        for step, batch in enumerate(batches(epoch)):
            with torch.no_grad():
                views = list(head.views(backbone(batch.images.to(device), method.feature_layers)))
            prototypes = fusion(tower)
            output = head.score(views, prototypes, backbone.projection)
            if not torch.isfinite(output.margins).all():
                raise TrainingError(f"the model is not finite at epoch {epoch}, step {step}; lower the learning rate")
            masks = None if batch.masks is None else batch.masks.to(device)
            losses = tuning_losses(
                output, prototypes, batch.labels.to(device), masks, method.score.temperature, method.consistency
            )
            optimiser.zero_grad()
            torch.autograd.backward(losses.total)
            optimiser.step()
            progress(epoch, step, losses.row())
    with torch.no_grad():
        prototypes = fusion(tower)
    return Tuned(head.cpu().eval(), fusion.cpu().eval(), prototypes.cpu())
