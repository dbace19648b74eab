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
from torch import Tensor, nn

from calibrate.errors import TrainingError
from calibrate.tuning.training import TuningTrainer
from fbclip.errors import ConfigError
from fbclip.files import write_atomically

STATE_FILE = "state.safetensors"


@dataclass(frozen=True)
class Epoch:
    """Mean total loss over the batches of tuning, and over the images kept for stopping after it."""

    train: float
    stop: float


@dataclass(frozen=True, eq=False)
class State:
    """epochs done; number of the best one (from 0) and its parameters, `head.*` and `prompts.*`."""

    epochs: tuple[Epoch, ...] = ()
    best: int = 0
    best_tensors: Mapping[str, Tensor] | None = None


def parameters_of(trainer: TuningTrainer) -> dict[str, Tensor]:
    """Copies of head and prompts on the CPU."""
    named: dict[str, nn.Module] = {"head": trainer.head, "prompts": trainer.fusion}
    return {f"{p}.{k}": v.detach().cpu().clone() for p, m in named.items() for k, v in m.state_dict().items()}


def put_parameters(trainer: TuningTrainer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `parameters_of`."""
    named: dict[str, nn.Module] = {"head": trainer.head, "prompts": trainer.fusion}
    for prefix, module in named.items():
        own = {k.removeprefix(f"{prefix}."): v for k, v in tensors.items() if k.startswith(f"{prefix}.")}
        module.load_state_dict(own, strict=True)


def save_state(folder: Path, key: str, trainer: TuningTrainer, state: State) -> None:
    """`key`: digest of everything that the result depends on. Raises OSError."""
    tensors = {f"now.{k}": v for k, v in parameters_of(trainer).items()}
    tensors |= {f"best.{k}": v for k, v in (state.best_tensors or {}).items()}
    for index, values in trainer.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": v.cpu().contiguous() for name, v in values.items()}
    about = {"key": key, "best": state.best, "epochs": [asdict(e) for e in state.epochs]}
    write_atomically(folder / STATE_FILE, save(tensors, metadata={"state": json.dumps(about)}))


def load_state(folder: Path, key: str, trainer: TuningTrainer) -> State:
    """Where an earlier run with the same key stopped, put into `trainer`; an empty state when there is none.

    Raises ConfigError for a run with another key, TrainingError for a file that cannot be read.
    """
    path = folder / STATE_FILE
    if not path.is_file():
        return State()
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["state"])
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        if about["key"] != key:
            raise ConfigError(
                f"{folder}: holds an unfinished run with other data or options; repeat those, name another --work, "
                "or add --restart"
            )
        put_parameters(trainer, _below(tensors, "now."))
        optimiser = trainer.optimiser.state_dict()
        for name, value in _below(tensors, "optimiser.").items():
            index, field = name.split(".", 1)
            optimiser["state"].setdefault(int(index), {})[field] = value
        trainer.optimiser.load_state_dict(optimiser)
        epochs = tuple(Epoch(**row) for row in about["epochs"])
        return State(epochs, int(about["best"]), _below(tensors, "best."))
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(f"{path}: cannot be read ({why}); add --restart to begin anew") from error


def drop_state(folder: Path) -> None:
    """Forget an earlier run; the folder goes too when nothing else is in it."""
    (folder / STATE_FILE).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
