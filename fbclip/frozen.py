"""The base of every configuration model: immutable, and strict about names; and what its errors quote of a file."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

# More of a damaged file tells nobody anything.
_LONGEST = 80


class Frozen(BaseModel):
    """Immutable, and unknown keys are an error, so that a typing slip is never silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def shown(text: object) -> str:
    """What a file says, for an error of one line: shortened, and escaped where it cannot be printed."""
    found = str(text)
    found = found if len(found) <= _LONGEST else f"{found[:_LONGEST]}…"
    return found if found.isprintable() else ascii(found)


def shown_field(loc: Iterable[object]) -> str:
    """Where in a file pydantic found an error, as `part.field`; keys are the file's own."""
    return ".".join(map(shown, list(loc)[:8]))
