"""What every section of agent.yaml is built from: frozen models, names, and paths relative to the file."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

MAX_PATH = 4000
RESERVED_NAMES = frozenset({"cmd", "status", "info", "health", "answer"})
Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]


class Section(BaseModel):
    """One mapping of agent.yaml; unknown keys are refused. Every number has a lower and an upper bound."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _from_base(value: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base", Path())
    try:
        path = Path(os.path.normpath(base / value.expanduser()))
    except RuntimeError as error:
        raise ValueError("names the home of a user who is not known here") from error
    if len(os.fsencode(path)) > MAX_PATH:
        raise ValueError(f"a path has at most {MAX_PATH} bytes")
    return path


ConfigPath = Annotated[Path, AfterValidator(_from_base)]
"""Relative to the folder of agent.yaml, which the loader gives as the context's `base`."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    return host in {"localhost", "::1"} or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


class ListenSection(Section):
    """An address as HOST:PORT; port 0 takes a free one."""

    listen: str

    @field_validator("listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
            raise ValueError("must be HOST:PORT")
        return value

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)
