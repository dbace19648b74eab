"""Epochs over cached features with early stopping; can be interrupted anywhere and taken up after the last epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from calibrate.tuning.batches import in_order, shuffled
from calibrate.tuning.features import Features
from calibrate.tuning.parameters import Tuned
from calibrate.tuning.request import TuningRequest
from calibrate.tuning.state import EpochLosses, RunState, load_state, save_state
from calibrate.tuning.training import TokenBatch, TuningTrainer

Report = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """The parameters of the best epoch (numbered from 0), and the losses of all."""

    tuned: Tuned
    epochs: tuple[EpochLosses, ...]
    best: int


def train(
    trainer: TuningTrainer,
    features: Features,
    validation: Features,
    request: TuningRequest,
    work: Path,
    key: str,
    report: Report,
) -> TrainedRun:
    """Train to the last epoch or until patience ends, writing the state into `work` after each epoch.

    A state with the same `key` is taken up. Raises TrainingError when a loss is not finite, ConfigError for the
    state of another run.
    """
    state = load_state(work, key, trainer)
    while state is None or _goes_on(state, request):
        epoch = 0 if state is None else len(state.epochs)
        batches = _batches(features, request, epoch, report)
        losses = EpochLosses(trainer.train_epoch(epoch, batches), _validate(trainer, validation, request.batch))
        state = _after(state, losses, trainer.learned.tensors())
        save_state(work, key, trainer, state)
    trainer.learned.load(state.best_tensors)
    return TrainedRun(trainer.finish(), state.epochs, state.best)


def _goes_on(state: RunState, request: TuningRequest) -> bool:
    done = len(state.epochs)
    return done < request.recipe.epochs and done - 1 - state.best < request.patience


def _after(state: RunState | None, losses: EpochLosses, tensors: Mapping[str, Tensor]) -> RunState:
    """The state with one more epoch, after which the parameters were `tensors`."""
    if state is None:
        return RunState((losses,), 0, tensors)
    epochs = (*state.epochs, losses)
    if losses.stop < state.epochs[state.best].stop:
        return RunState(epochs, len(state.epochs), tensors)
    return RunState(epochs, state.best, state.best_tensors)


def _batches(features: Features, request: TuningRequest, epoch: int, report: Report) -> Iterator[TokenBatch]:
    seed = request.recipe.seed
    batches = shuffled(features.items, request.batch, seed, epoch)
    turn = np.random.default_rng((seed, epoch, 1)) if request.augment else None
    name = f"epoch {epoch + 1} of {request.recipe.epochs}"
    for step, batch in enumerate(batches):
        report(name, step, len(batches))
        yield features.fetch(batch, turn)
    report(name, len(batches), len(batches))


@torch.no_grad()
def _validate(trainer: TuningTrainer, features: Features, batch: int) -> float:
    """Mean total loss an image."""
    total = 0.0
    for indices in in_order(features.items, batch):
        losses = trainer.losses(features.fetch(indices), "early stopping")
        total += len(indices.indices) * losses.total.item()
    return total / len(features.items)
