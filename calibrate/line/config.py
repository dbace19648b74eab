"""What `calibrate` needs of agent.yaml: which model judges a line, and where its profile and memory lie.

The agent checks the whole file; here only these keys are read, and relative paths are relative to the file, as there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fbclip.backbone.config import Precision, RuntimeName
from fbclip.errors import ConfigError

MAX_BYTES = 1 << 20
_Text = Annotated[str, Field(min_length=1, max_length=4000)]


class _Keys(BaseModel):
    """The other keys are the agent's."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _ModelKeys(_Keys):
    backbone: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "embedded"
    weights: _Text | None = None
    adapter: _Text | None = None
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d{1,3})?)$")] = "auto"
    precision: Precision = "float32"
    runtime: RuntimeName = "torch"
    export: _Text | None = None


class _LineKeys(_Keys):
    name: _Text
    profile: _Text | None = None
    adapter: _Text | None = None
    memory: _Text | None = None


class _FileKeys(_Keys):
    model: _ModelKeys = _ModelKeys()
    lines: Annotated[tuple[_LineKeys, ...], Field(min_length=1)]


@dataclass(frozen=True)
class LineConfig:
    """One line of agent.yaml. `adapter`: the line's own, else the model's; None is the embedded one."""

    file: Path
    line: str
    backbone: str
    weights: Path | None
    adapter: Path | None
    device: str
    precision: Precision
    profile: Path | None
    memory: Path | None
    runtime: RuntimeName = "torch"
    export: Path | None = None


def read_line_config(file: Path, line: str) -> LineConfig:
    """Raises ConfigError, one line that names the file and the key; values are not shown, one could be a secret."""
    keys = _checked(file, _parsed(file))
    found = [section for section in keys.lines if section.name == line]
    if len(found) != 1:
        there = ", ".join(section.name for section in keys.lines)
        raise ConfigError(f"--line {line}: {'no such line' if not found else 'stands twice'} in {file}; it has {there}")
    section, model, base = found[0], keys.model, file.absolute().parent

    def path(text: str | None) -> Path | None:
        return None if text is None else Path(os.path.normpath(base / Path(text).expanduser()))

    return LineConfig(
        file=file,
        line=line,
        backbone=model.backbone,
        weights=path(model.weights),
        adapter=path(section.adapter or model.adapter),
        device=model.device,
        precision=model.precision,
        profile=path(section.profile),
        memory=path(section.memory),
        runtime=model.runtime,
        export=path(model.export),
    )


def _parsed(file: Path) -> Any:
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise ConfigError(f"{file}: larger than {MAX_BYTES} bytes")
        return yaml.safe_load(text)
    except FileNotFoundError as error:
        raise ConfigError(f"--config {file}: no such file") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # The cause quotes the file, which may hold a secret.
        raise ConfigError(f"{file}:{mark.line + 1 if mark else 1}: not valid YAML; `agent check` says more") from None
    except (ValueError, RecursionError, OSError):
        raise ConfigError(f"{file}: cannot be read as YAML; `agent check` says more") from None


def _checked(file: Path, data: Any) -> _FileKeys:
    try:
        return _FileKeys.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "configuration"
        # The cause repeats every value, a secret among them.
        raise ConfigError(f"{file}: {field}: {first['msg']}; `agent check` says more") from None
