"""Epochs over cached features with early stopping; can be interrupted anywhere and taken up after the last epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from calibrate.tuning.batches import in_order, shuffled
from calibrate.tuning.features import Features
from calibrate.tuning.state import Epoch, State, load_state, parameters_of, put_parameters, save_state
from calibrate.tuning.training import Recipe, Tuned, TuningTrainer

Report = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Settings:
    """How to tune. `patience`: epochs without a lower loss on the stopping images before the end."""

    recipe: Recipe
    batch: int = 4
    patience: int = 3
    augment: bool = False
    synthetic: int = 4
    cache_mb: int = 2048


@dataclass(frozen=True, eq=False)
class Trained:
    """The parameters of the best epoch (numbered from 0), and the losses of all."""

    tuned: Tuned
    epochs: tuple[Epoch, ...]
    best: int


def run(
    trainer: TuningTrainer, tune: Features, stop: Features, settings: Settings, work: Path, key: str, report: Report
) -> Trained:
    """Train to the last epoch or until patience ends, writing the state into `work` after each epoch.

    A state with the same `key` is taken up. Raises TrainingError when a loss is not finite, ConfigError for the
    state of another run.
    """
    state = load_state(work, key, trainer)
    while len(state.epochs) < settings.recipe.epochs and not _out_of_patience(state, settings.patience):
        number = len(state.epochs)
        row = Epoch(_train(trainer, tune, settings, number, report), _measure(trainer, stop, settings.batch))
        better = state.best_tensors is None or row.stop < state.epochs[state.best].stop
        state = State(
            (*state.epochs, row),
            number if better else state.best,
            parameters_of(trainer) if better else state.best_tensors,
        )
        save_state(work, key, trainer, state)
    assert state.best_tensors is not None
    put_parameters(trainer, state.best_tensors)
    return Trained(trainer.finish(), state.epochs, state.best)


def _out_of_patience(state: State, patience: int) -> bool:
    return bool(state.epochs) and len(state.epochs) - 1 - state.best >= patience


def _train(trainer: TuningTrainer, features: Features, settings: Settings, epoch: int, report: Report) -> float:
    seed = settings.recipe.seed
    plans = shuffled(features.items, settings.batch, seed, epoch)
    turn = np.random.default_rng((seed, epoch, 1)) if settings.augment else None
    total = 0.0
    name = f"epoch {epoch + 1} of {settings.recipe.epochs}"
    for step, plan in enumerate(plans):
        report(name, step, len(plans))
        tokens, labels, masks = features.fetch(plan, turn)
        total += trainer.step(tokens, labels, masks, f"epoch {epoch + 1}, step {step + 1}")[0]
    report(name, len(plans), len(plans))
    return total / len(plans)


@torch.no_grad()
def _measure(trainer: TuningTrainer, features: Features, batch: int) -> float:
    """Mean total loss an image."""
    total = 0.0
    for plan in in_order(features.items, batch):
        tokens, labels, masks = features.fetch(plan)
        total += len(plan.indices) * trainer.losses(tokens, labels, masks, "early stopping").total.item()
    return total / len(features.items)
