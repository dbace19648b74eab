"""The state of a run after an epoch, as one safetensors file: whole or not there, and without code in it.

Batches depend on seed and epoch alone and nothing else is random, so no generator has to be stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from calibrate.errors import TrainingError
from calibrate.tuning.parameters import below
from calibrate.tuning.training import TuningTrainer
from fbclip.errors import ConfigError
from fbclip.files import write_atomically

STATE_FILE = "state.safetensors"


@dataclass(frozen=True)
class EpochLosses:
    """Mean total loss over the batches of training, and over the validation images after it."""

    train: float
    stop: float


@dataclass(frozen=True, eq=False)
class RunState:
    """At least one epoch is done; the number of the best one (from 0) and its parameters, `head.*` and `prompts.*`."""

    epochs: tuple[EpochLosses, ...]
    best: int
    best_tensors: Mapping[str, Tensor]


def save_state(folder: Path, key: str, trainer: TuningTrainer, state: RunState) -> None:
    """`key`: digest of everything that the result depends on. Raises OSError."""
    tensors = {f"now.{name}": value for name, value in trainer.learned.tensors().items()}
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
        trainer.learned.load(below(tensors, "now."))
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
