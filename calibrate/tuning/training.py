"""Training: the steps of a method's learner, alone or in several processes that take the same step together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from calibrate.errors import TrainingError
from calibrate.processes import ALONE, ProcessGroup
from calibrate.tuning.fbclip_learner import PUBLISHED, FbClipLearner
from calibrate.tuning.learner import Learner, Tensors, together
from calibrate.tuning.parameters import LearnedModules, Tuned
from fbclip.backbone.tower import Backbone
from fbclip.method.config import FBCLIPConfig
from fbclip.method.text import TextTower

StepReport = Callable[[int, int, list[float]], None]
"""Called after every step with epoch and step, both from 0, and the losses before it, the total first."""


@dataclass(frozen=True)
class Recipe:
    """Hyper-parameters of one run; the defaults are the paper's."""

    epochs: int = PUBLISHED.epochs
    learning_rate: float = PUBLISHED.learning_rate
    betas: tuple[float, float] = PUBLISHED.betas
    seed: int = 0


@dataclass(frozen=True, eq=False)
class TuningBatch:
    """images (B,3,S,S) normalised, labels (B,) and masks (B,S,S) float 0 or 1; masks may be unknown."""

    images: Tensor
    labels: Tensor
    masks: Tensor | None


@dataclass(frozen=True, eq=False)
class StepBatch:
    """What a step takes: labels (B,) of all images; of this process's share of them features (K,N,C) each, and masks.

    masks: (b,S,S) float 0 or 1, None where they are not all known.
    """

    labels: Tensor
    features: Sequence[Tensor]
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
    """Train FB-CLIP for all epochs from `start` or a seeded fresh start, with nothing kept of the images.

    Raises TrainingError when a margin or a loss is not finite.
    """
    torch.manual_seed(recipe.seed)
    learner = FbClipLearner(backbone, tower, method, start)
    trainer = TuningTrainer(learner, recipe)

    def step(batch: TuningBatch) -> StepBatch:
        with torch.no_grad():
            features = learner.features(batch.images.to(learner.device))
        return StepBatch(batch.labels, list(features), batch.masks)

    with closing(learner):
        for epoch in range(recipe.epochs):
            trainer.train_epoch(epoch, map(step, batches(epoch)), progress)
    return learner.learned()


class TuningTrainer:
    """A learner and its optimiser, in each process; all of them hold the same parameters after every step.

    Gradients of single images are added up in float64, in which the order of the sum does not show: Adam turns a
    rounding of a gradient near zero into a whole step.
    """

    def __init__(self, learner: Learner, recipe: Recipe, processes: ProcessGroup = ALONE) -> None:
        self.learner, self.processes = learner, processes
        self._parameters = learner.parameters()
        self.optimiser = make_optimiser(self._parameters, recipe.learning_rate, recipe.betas)

    def train_epoch(self, epoch: int, batches: Iterable[StepBatch], progress: StepReport = lambda *_: None) -> float:
        """One step a batch -> the mean total loss of the steps, each before it was made; at least one batch."""
        totals = []
        for step, batch in enumerate(batches):
            row = self.step(batch, f"epoch {epoch + 1}, step {step + 1}")
            totals.append(row[0])
            progress(epoch, step, row)
        return sum(totals) / len(totals)

    def step(self, batch: StepBatch, where: str) -> list[float]:
        """One step; the losses before it, the total first. Raises TrainingError naming `where`."""
        compute, learner, count = self.learner.side_by_side, self.learner, len(self._parameters)
        shared = compute.one(learner.shared)
        leaves = tuple(part.detach().requires_grad_() for part in shared)
        own = self._outputs(batch, leaves)
        tops = tuple(top.requires_grad_() for top in self._gathered(own, batch, leaves))
        masks = self._masks(batch)
        losses, slopes = compute.one(lambda: self._losses(tops, leaves, batch, masks, where))
        of_outputs, of_shared = slopes[: len(tops)], slopes[len(tops) :]
        inputs = (*self._parameters, *leaves)

        def of_image(k: int) -> Sequence[Tensor | None]:
            place = self.processes.share(len(batch.labels))[k]
            return _slope(own[k], inputs, [slope[place : place + 1] for slope in of_outputs])

        sums = _Sums(inputs)
        for slope in compute.each(of_image, range(len(own))):
            sums.add(slope)
        by_image = sums.over(self.processes)
        of_leaves = [(a.double() + b).to(a.dtype) for a, b in zip(of_shared, by_image[count:], strict=True)]
        text = compute.one(lambda: _slope(shared, self._parameters, of_leaves))
        self._move(by_image[:count], text, sums.known[:count])
        return losses

    def total_loss(self, batch: StepBatch, where: str) -> float:
        """Of a batch that is only looked at. Raises TrainingError naming `where`."""
        shared = tuple(part.detach() for part in self.learner.side_by_side.one(self.learner.shared))
        tops, masks = self._gathered(self._outputs(batch, shared), batch, shared), self._masks(batch)
        return self.learner.side_by_side.one(lambda: self._losses(tops, shared, batch, masks, where))[0][0]

    def _outputs(self, batch: StepBatch, shared: Tensors) -> list[Tensors]:
        """Of this process's images, with a gradient where `shared` is one that is asked for."""
        device, learns = self.learner.device, any(part.requires_grad for part in shared)

        def of_image(k: int) -> Tensors:
            mask = None if batch.masks is None else batch.masks[k : k + 1].to(device)
            with torch.set_grad_enabled(learns):
                return self.learner.outputs(batch.features[k].to(device), shared, mask)

        return self.learner.side_by_side.each(of_image, range(len(batch.features)))

    def _gathered(self, own: Sequence[Tensors], batch: StepBatch, shared: Tensors) -> Tensors:
        """The values of all images' outputs, in every process."""
        total = len(batch.labels)
        if own:
            rows = tuple(part.detach() for part in together(own))
        else:
            # Who has none of these images sends none, of the shape that the others expect.
            with torch.no_grad():
                nothing = torch.zeros(self.learner.feature_shape, device=self.learner.device)
                mask = None if batch.masks is None else nothing.new_zeros(1, *batch.masks.shape[1:])
                rows = tuple(part[:0] for part in self.learner.outputs(nothing, shared, mask))
        return tuple(self.processes.gather(part, total) for part in rows)

    def _masks(self, batch: StepBatch) -> Tensor | None:
        """Of all images."""
        if batch.masks is None:
            return None
        # A byte a pixel on its way.
        return self.processes.gather(batch.masks.to(self.learner.device, torch.uint8), len(batch.labels)).float()

    def _losses(
        self, tops: Tensors, shared: Tensors, batch: StepBatch, masks: Tensor | None, where: str
    ) -> tuple[list[float], Tensors]:
        """The losses, and the slopes of their total by `tops` and `shared` where these ask for them."""
        if not all(torch.isfinite(top).all() for top in tops):
            raise TrainingError(f"the model is not finite at {where}; lower the learning rate")
        losses = self.learner.losses(tops, shared, batch.labels.to(self.learner.device), masks)
        if not torch.isfinite(losses[0]):
            raise TrainingError(f"the loss is not finite at {where}; lower the learning rate")
        slopes: Tensors = ()
        if losses[0].requires_grad:
            slopes = torch.autograd.grad(losses[0], (*tops, *shared), allow_unused=True, materialize_grads=True)
        return [float(part.detach()) for part in losses], slopes

    def _move(self, by_image: Sequence[Tensor], text: Sequence[Tensor | None], known: Sequence[bool]) -> None:
        """One step of the optimiser by both parts of each gradient; what neither part reaches stays."""
        parts = zip(self._parameters, by_image, text, known, strict=True)
        moved = [(p, a if b is None else a + b.double()) for p, a, b, reached in parts if reached or b is not None]
        self.optimiser.zero_grad()
        # Each process has the same; their mean keeps them the same where a GPU adds in no fixed order.
        flat = torch.cat([gradient.flatten() for _, gradient in moved])
        flat = self.processes.sum(flat) / self.processes.count
        for (parameter, gradient), mean in zip(moved, torch.split(flat, [g.numel() for _, g in moved]), strict=True):
            parameter.grad = mean.view_as(gradient).to(parameter.dtype)
        self.optimiser.step()


class _Sums:
    """Gradients added up in float64; `known`: whether any image's outputs depend on it."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self._sums = [torch.zeros_like(one, dtype=torch.float64) for one in inputs]
        self.known = [False] * len(inputs)

    def add(self, slopes: Sequence[Tensor | None]) -> None:
        for k, slope in enumerate(slopes):
            if slope is not None:
                self._sums[k] += slope
                self.known[k] = True

    def over(self, processes: ProcessGroup) -> list[Tensor]:
        """Of all processes together."""
        flat = torch.cat([*(one.flatten() for one in self._sums), self._sums[0].new_tensor(self.known)])
        found = torch.split(processes.sum(flat), [*(one.numel() for one in self._sums), len(self.known)])
        self.known = (found[-1] > 0).tolist()[: len(self._sums)]
        return [part.view_as(one) for part, one in zip(found, self._sums, strict=False)]


def _slope(outputs: Tensors, inputs: Sequence[Tensor], slopes: Sequence[Tensor]) -> Sequence[Tensor | None]:
    """Of the sum of outputs times slopes, by each of `inputs`; None where none depends on it."""
    pairs = [(one, slope) for one, slope in zip(outputs, slopes, strict=True) if one.requires_grad]
    if not pairs:
        return [None] * len(inputs)
    return torch.autograd.grad([one for one, _ in pairs], inputs, [slope for _, slope in pairs], allow_unused=True)


def make_optimiser(
    parameters: Iterable[nn.Parameter], learning_rate: float, betas: tuple[float, float]
) -> torch.optim.Adam:
    """Adam as the released code uses it: eps 1e-8, no weight decay."""
    return torch.optim.Adam(list(parameters), lr=learning_rate, betas=betas, eps=1e-8)
