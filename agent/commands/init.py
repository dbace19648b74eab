"""`agent init`: a folder to start from, with a commented agent.yaml. Nothing that is there is ever overwritten."""

from __future__ import annotations

import shutil
from pathlib import Path

import typer

from agent.commands.options import InitRequest
from agent.commands.schema import json_text
from agent.schemas.documents import CONFIG_FILE, config_schema
from fbclip.errors import ConfigError
from fbclip.files import write_atomically

_PACKAGE = Path(__file__).parents[1]
TEMPLATE = _PACKAGE / "template"
SAMPLES = _PACKAGE / "samples"
# The folder that both templates watch.
INBOX = "inbox"


def init_command(request: InitRequest) -> None:
    """Raises ConfigError where one of its files is there already."""
    folder = request.folder
    config, samples = folder / "agent.yaml", folder / SAMPLES.name
    for path in (config, *((samples,) if request.samples else ())):
        if path.exists() or path.is_symlink():
            raise ConfigError(f"{path}: is there already and is left as it is; take it away, or name another folder")
    inbox = folder / INBOX
    inbox.mkdir(parents=True, exist_ok=True)
    if request.samples:
        shutil.copytree(SAMPLES, samples)
        for image in sorted((samples / INBOX).iterdir()):
            if not (inbox / image.name).exists():
                shutil.copy(image, inbox / image.name)
    write_atomically(folder / CONFIG_FILE, json_text(config_schema()).encode())
    # Last, so that a folder with an agent.yaml is a whole one.
    write_atomically(config, config_text(samples=request.samples).encode())
    for line in next_steps(config, samples=request.samples):
        typer.echo(line)


def config_text(samples: bool) -> str:
    """The commented agent.yaml, with the sample lines or with one line to be made one's own."""
    lines = "sample_lines.yaml" if samples else "own_line.yaml"
    return "".join((TEMPLATE / name).read_text(encoding="utf-8") for name in ("agent.yaml", lines))


def next_steps(config: Path, samples: bool) -> tuple[str, ...]:
    """What to do next, for the terminal."""
    option = "" if config == Path("agent.yaml") else f" -c {config}"
    first = "the sample lines judge at once" if samples else "line-1 learns; edit it for your camera or folder"
    return (f"{config}: written, {first}", f"  agent check{option}", f"  agent run{option}")
