"""The base of every configuration model: immutable, and strict about names."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Immutable, and unknown keys are an error, so that a typing slip is never silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")
