"""Rows of a long benchmark that were timed already, in a JSON file that is written after each: none is timed twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fbclip.errors import ConfigError
from fbclip.files import write_atomically
from fbclip.frozen import Frozen

FILE = "rows.json"
_MOST_BYTES = 1 << 20


class TimedRow(Frozen):
    """Medians in ms, of the row and of float32 in torch, which took turns with it; bare_ms: of the backbone alone."""

    runtime: str
    precision: str
    ms: float
    base_ms: float
    bare_ms: float | None = None
    repeats: int


class FinishedRows:
    """Of one setting: whatever a time depends on, by name."""

    def __init__(self, folder: Path, setting: dict[str, Any]) -> None:
        """Raises ConfigError where the folder holds rows of another setting, or what is none of ours."""
        self._file, self._setting = folder / FILE, setting
        self._rows = {(row.runtime, row.precision): row for row in self._read()}

    def get(self, runtime: str, precision: str) -> TimedRow | None:
        return self._rows.get((runtime, precision))

    def add(self, row: TimedRow) -> None:
        """Raises OSError."""
        self._rows[row.runtime, row.precision] = row
        values = {"setting": self._setting, "rows": [one.model_dump() for one in self._rows.values()]}
        write_atomically(self._file, (json.dumps(values, indent=2) + "\n").encode())

    def _read(self) -> list[TimedRow]:
        try:
            if self._file.stat().st_size > _MOST_BYTES:
                raise ConfigError(f"{self._file}: larger than {_MOST_BYTES} bytes; name another folder")
            values = json.loads(self._file.read_text(encoding="utf-8"))
            rows = [TimedRow.model_validate(row) for row in values["rows"]]
            setting = values["setting"]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError, ValidationError, RecursionError) as error:
            raise ConfigError(f"{self._file}: holds no rows of a benchmark; name another folder") from error
        differs = sorted(name for name in {*setting, *self._setting} if setting.get(name) != self._setting.get(name))
        if differs:
            name = differs[0]
            raise ConfigError(
                f"{self._file}: was timed with {name} {setting.get(name)}, asked is {self._setting.get(name)}; "
                "name another folder"
            )
        return rows
