"""Options that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from fbclip.errors import ConfigError

AdapterOption = Annotated[Path | None, typer.Option(help="adapter directory; default: the embedded one")]
BackboneOption = Annotated[str, typer.Option(help="embedded, ViT-L-14-336 or another ViT of open_clip")]
WeightsOption = Annotated[Path | None, typer.Option(help="local file of the backbone's weights")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda[:N]")]
JsonOption = Annotated[bool, typer.Option("--json", help="one JSON object")]
LayoutOption = Annotated[str, typer.Option(help="how the data is laid out; auto finds out")]
UnitFromOption = Annotated[
    str | None, typer.Option(help="regular expression: the part of a file name that names its unit")
]
SkipBadOption = Annotated[bool, typer.Option("--skip-bad", help="leave unusable pictures out, listing them")]


def check_line_name(line: str) -> None:
    """Raises ConfigError for a name that agent.yaml would refuse."""
    if not re.fullmatch(r"[a-z0-9_-]{1,64}", line):
        raise ConfigError(f"--line {line!r} must be of a-z, 0-9, _ and -")
