"""Training: frozen backbone, learned head and prompts. Section 7 of the method.

Views hold no learned parameter, so they are computed without a gradient and only the head is differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calibrate.errors import TrainingError
from calibrate.tuning.parameters import LearnedModules, Tuned, fresh
from fbclip.backbone.tower import Backbone
from fbclip.method.config import ConsistencyConfig, FBCLIPConfig
from fbclip.method.consistency import consistency_loss
from fbclip.method.model import HeadOutput
from fbclip.method.text import TextTower

FOCAL_GAMMA = 4.0
DICE_WEIGHT = 0.2

PAPER_LEARNING_RATE = 5e-5
PAPER_BETAS = (0.5, 0.999)
StepReport = Callable[[int, int, list[float]], None]
"""Called after every step with epoch and step, both from 0, and the losses before it, as `Losses.row`."""


@dataclass(frozen=True, eq=False)
class Losses:
    """Scalars; `total` is their sum, `dice` already weighted. Without masks the two pixel terms are 0."""

    focal_image: Tensor
    focal_pixel: Tensor
    dice: Tensor
    consistency: Tensor

    @property
    def total(self) -> Tensor:
        return self.focal_image + self.focal_pixel + self.dice + self.consistency

    def row(self) -> list[float]:
        """total, focal_image, focal_pixel, dice, consistency."""
        parts = (self.total, self.focal_image, self.focal_pixel, self.dice, self.consistency)
        return [float(part.detach()) for part in parts]


def focal(probability: Tensor, target: Tensor) -> Tensor:
    """Mean of BCE·(1 − p_t)^4 over all elements; both tensors of one shape, values in 0..1."""
    bce = F.binary_cross_entropy(probability, target, reduction="none")
    p_t = probability * target + (1 - probability) * (1 - target)
    return (bce * (1 - p_t) ** FOCAL_GAMMA).mean()


def dice(probability: Tensor, mask: Tensor) -> Tensor:
    """1 − mean over images of (2Σpm + 1)/(Σp + Σm + 1); (B,S,S) each."""
    p, m = probability.flatten(1), mask.flatten(1)
    overlap = (2 * (p * m).sum(1) + 1) / (p.sum(1) + m.sum(1) + 1)
    return 1 - overlap.mean()


def tuning_losses(
    output: HeadOutput,
    prototypes: Tensor,
    labels: Tensor,
    masks: Tensor | None,
    temperature: float,
    scr: ConsistencyConfig,
) -> Losses:
    """labels (B,) and masks (B,S,S), float 0 or 1; the map is brought to the masks' size, bilinear."""
    zero = output.margins.new_zeros(())
    focal_pixel, dice_pixel = zero, zero
    if masks is not None:
        grid = torch.sigmoid(output.grid_margin).unsqueeze(1)
        full = F.interpolate(grid, size=masks.shape[-2:], mode="bilinear", align_corners=False).squeeze(1)
        # Interpolating probabilities can step over 1 by rounding, which BCE refuses.
        full = full.clamp(0, 1)
        focal_pixel = focal(full, masks)
        dice_pixel = DICE_WEIGHT * dice(full, masks)
    return Losses(
        focal(torch.sigmoid(output.image_margin), labels),
        focal_pixel,
        dice_pixel,
        consistency_loss(output.projected, prototypes, temperature, scr),
    )


@dataclass(frozen=True)
class Recipe:
    """Hyper-parameters of one run; the defaults are the paper's."""

    epochs: int = 3
    learning_rate: float = PAPER_LEARNING_RATE
    betas: tuple[float, float] = PAPER_BETAS
    seed: int = 0


@dataclass(frozen=True, eq=False)
class TuningBatch:
    """images (B,3,S,S) normalised, labels (B,) and masks (B,S,S) float 0 or 1; masks may be unknown."""

    images: Tensor
    labels: Tensor
    masks: Tensor | None


@dataclass(frozen=True, eq=False)
class TokenBatch:
    """The same behind the backbone: tokens of K layers, (B,N,C) each."""

    tokens: Sequence[Tensor]
    labels: Tensor
    masks: Tensor | None


class Batches(Protocol):
    """Anything that yields the batches of one epoch, seeded by the epoch's number."""

    def __call__(self, epoch: int) -> Iterator[TuningBatch]: ...


def tune(
    backbone: Backbone,
    tower: TextTower,
    method: FBCLIPConfig,
    batches: Batches,
    recipe: Recipe,
    progress: StepReport,
    start: LearnedModules | None = None,
) -> Tuned:
    """Train all epochs from `start` or a seeded fresh start, with nothing kept of the images.

    Raises TrainingError when a margin or a loss is not finite.
    """
    trainer = TuningTrainer(backbone, tower, method, recipe, start)

    def tokens(batch: TuningBatch) -> TokenBatch:
        with torch.no_grad():
            layers = backbone(batch.images.to(trainer.device), method.feature_layers)
        return TokenBatch(layers, batch.labels, batch.masks)

    for epoch in range(recipe.epochs):
        trainer.train_epoch(epoch, map(tokens, batches(epoch)), progress)
    return trainer.finish()


class TuningTrainer:
    """Head, prompts and optimiser of one run; each step takes backbone tokens, fresh or from a cache."""

    def __init__(
        self,
        backbone: Backbone,
        tower: TextTower,
        method: FBCLIPConfig,
        recipe: Recipe,
        start: LearnedModules | None = None,
    ) -> None:
        """`start`: parameters to go on from, which are trained in place; without, fresh ones from the seed."""
        torch.manual_seed(recipe.seed)
        self.method = method
        self.tower = tower
        self.projection = backbone.projection
        self.device = self.projection.device
        self.learned = (start or fresh(backbone.config, method)).to(self.device)
        self.optimiser = make_optimiser(self.learned.parameters(), recipe.learning_rate, recipe.betas)

    def train_epoch(self, epoch: int, batches: Iterable[TokenBatch], progress: StepReport = lambda *_: None) -> float:
        """One step a batch -> the mean total loss of the steps, each before it was made; at least one batch."""
        totals = []
        for step, batch in enumerate(batches):
            losses = self.losses(batch, f"epoch {epoch + 1}, step {step + 1}")
            self.optimiser.zero_grad()
            torch.autograd.backward(losses.total)
            self.optimiser.step()
            row = losses.row()
            totals.append(row[0])
            progress(epoch, step, row)
        return sum(totals) / len(totals)

    def losses(self, batch: TokenBatch, where: str) -> Losses:
        """The losses of a batch; raises TrainingError naming `where` when they are not finite."""
        head = self.learned.head
        with torch.no_grad():
            views = list(head.views([layer.to(self.device) for layer in batch.tokens]))
        prototypes = self.learned.prompts(self.tower)
        output = head.score(views, prototypes, self.projection)
        if not torch.isfinite(output.margins).all():
            raise TrainingError(f"the model is not finite at {where}; lower the learning rate")
        masks = None if batch.masks is None else batch.masks.to(self.device)
        temperature, scr = self.method.score.temperature, self.method.consistency
        losses = tuning_losses(output, prototypes, batch.labels.to(self.device), masks, temperature, scr)
        if not torch.isfinite(losses.total):
            raise TrainingError(f"the loss is not finite at {where}; lower the learning rate")
        return losses

    def finish(self) -> Tuned:
        """What was learned, moved to the CPU; the trainer is of no use afterwards."""
        with torch.no_grad():
            prototypes = self.learned.prompts(self.tower).cpu()
        learned = self.learned.to(torch.device("cpu"))
        return Tuned(LearnedModules(learned.head.eval(), learned.prompts.eval()), prototypes)


def make_optimiser(
    parameters: Iterable[nn.Parameter], learning_rate: float, betas: tuple[float, float]
) -> torch.optim.Adam:
    """Adam as the released code uses it: eps 1e-8, no weight decay."""
    return torch.optim.Adam(list(parameters), lr=learning_rate, betas=betas, eps=1e-8)
