"""Epochs over cached features with early stopping; can be interrupted anywhere and taken up after the last epoch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from calibrate.errors import TrainingError
from calibrate.tuning.features import Features, in_order, shuffled
from calibrate.tuning.learner import Tunable
from calibrate.tuning.parameters import below
from calibrate.tuning.request import TuningRequest
from calibrate.tuning.training import StepBatch, TuningTrainer
from fbclip.errors import ConfigError
from fbclip.files import write_atomically

STATE_FILE = "state.safetensors"

Report = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class EpochLosses:
    """Mean total loss over the batches of training, and over the validation images after it."""

    train: float
    stop: float


@dataclass(frozen=True, eq=False)
class RunState:
    """At least one epoch is done; the number of the best one (from 0) and its parameters, named as in an adapter."""

    epochs: tuple[EpochLosses, ...]
    best: int
    best_tensors: Mapping[str, Tensor]


def save_state(folder: Path, key: str, trainer: TuningTrainer, state: RunState) -> None:
    """`key`: digest of everything that the result depends on. Raises OSError."""
    tensors = {f"now.{name}": value for name, value in trainer.learner.tensors().items()}
    tensors |= {f"best.{name}": value for name, value in state.best_tensors.items()}
    for index, values in trainer.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": value.cpu().contiguous() for name, value in values.items()}
    about = {"key": key, "best": state.best, "epochs": [asdict(epoch) for epoch in state.epochs]}
    write_atomically(folder / STATE_FILE, save(tensors, metadata={"state": json.dumps(about)}))


def load_state(folder: Path, key: str, trainer: TuningTrainer) -> RunState | None:
    """Where an earlier run with the same key stopped, put into `trainer`; None when there is none.

    Raises ConfigError for a run with another key, TrainingError for a file that cannot be read.
    """
    path = folder / STATE_FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if about["key"] != key:
            raise ConfigError(
                f"{folder}: holds an unfinished run with other data or options; repeat those, name another --work, "
                "or add --restart"
            )
        trainer.learner.load(below(tensors, "now."))
        optimiser = trainer.optimiser.state_dict()
        for name, value in below(tensors, "optimiser.").items():
            index, field = name.split(".", 1)
            optimiser["state"].setdefault(int(index), {})[field] = value
        trainer.optimiser.load_state_dict(optimiser)
        epochs = tuple(EpochLosses(**losses) for losses in about["epochs"])
        return RunState(epochs, int(about["best"]), below(tensors, "best."))
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(f"{path}: cannot be read ({why}); add --restart to begin anew") from error


def drop_state(folder: Path) -> None:
    """Forget an earlier run; the folder goes too when nothing else is in it."""
    (folder / STATE_FILE).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """The parameters of the best epoch (numbered from 0), and the losses of all."""

    tuned: Tunable
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

    A state with the same `key` is taken up. Of several processes each does the same, and the first one writes.
    Raises TrainingError when a loss is not finite, ConfigError for the state of another run.
    """
    processes = trainer.processes
    # Nobody looks for a state that the first one still forgets.
    processes.wait()
    state = load_state(work, key, trainer)
    for one, what in ((features, "reading images to train on"), (validation, "reading images to stop by")):
        one.prepare(lambda done, total, what=what: report(what, done, total))  # type: ignore[misc]
    while state is None or _goes_on(state, request):
        epoch = 0 if state is None else len(state.epochs)
        batches = _batches(features, request, epoch, report)
        losses = EpochLosses(trainer.train_epoch(epoch, batches), _validate(trainer, validation, request.batch))
        state = _after(state, losses, trainer.learner.tensors())
        if processes.first:
            save_state(work, key, trainer, state)
    trainer.learner.load(state.best_tensors)
    return TrainedRun(trainer.learner.learned(), state.epochs, state.best)


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


def _batches(features: Features, request: TuningRequest, epoch: int, report: Report) -> Iterator[StepBatch]:
    seed = request.recipe.seed
    batches = shuffled(features.items, request.batch, seed, epoch)
    turn = np.random.default_rng((seed, epoch, 1)) if request.augment else None
    name = f"epoch {epoch + 1} of {request.recipe.epochs}"
    for step, batch in enumerate(batches):
        report(name, step, len(batches))
        yield features.fetch(batch, turn)
    report(name, len(batches), len(batches))


def _validate(trainer: TuningTrainer, features: Features, batch: int) -> float:
    """Mean total loss an image."""
    total = 0.0
    for indices in in_order(features.items, batch):
        total += len(indices.indices) * trainer.total_loss(features.fetch(indices), "early stopping")
    return total / len(features.items)
