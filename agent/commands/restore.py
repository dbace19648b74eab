"""`agent restore`: what a backup holds, back in its place. Nothing is overwritten without `--replace`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import typer

from agent.backup.archive import DATABASE, ArchiveReader, BackupError, reading
from agent.backup.contents import belongs, database_of
from agent.commands.options import RestoreRequest
from agent.config.loader import load_config
from agent.config.sections import Config
from agent.store.lock import DataLock
from agent.store.snapshot import start_new_stream
from agent.store.sqlite_file import move_aside
from agent.store.unsent_copy import copy_of
from fbclip.errors import ConfigError

# Beside its final place, so that one rename puts it there.
INCOMING = ".restoring"


def restore_command(request: RestoreRequest) -> None:
    """Raises BackupError, ConfigError or StoreError; then the agent's own files are as they were."""
    path = request.config.absolute()
    with reading(request.archive) as archive:
        config = _config_in(archive, path)
        places = {name: _place(name, archive, config, path) for name in archive.names}
        taken = [place for place in places.values() if place.exists()]
        if taken and not request.replace:
            raise ConfigError(
                f"{taken[0]}: is there already, as {len(taken)} of {len(places)} files are; nothing was changed. "
                "To put the backup in their place: --replace"
            )
        config.agent.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with DataLock(config.agent.data_dir, database_of(config)):
            _put_all(archive, places)
    typer.echo(
        f"agent {archive.manifest.agent} as of {archive.manifest.created:%Y-%m-%d %H:%M} UTC, version "
        f"{archive.manifest.version}: {len(places)} files are in their place; next: agent check -c {request.config}"
    )


def _config_in(archive: ArchiveReader, path: Path) -> Config:
    """The configuration of the backup, as it will read at `path`."""
    incoming = path.with_name(f"{path.name}{INCOMING}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with archive.open(f"config/{archive.manifest.config}") as stream:
            incoming.write_bytes(stream.read())
        return load_config(incoming)
    finally:
        incoming.unlink(missing_ok=True)


def _place(name: str, archive: ArchiveReader, config: Config, path: Path) -> Path:
    kind, _, rest = name.partition("/")
    if name == DATABASE:
        database = database_of(config)
        if database is None:
            raise BackupError(f"{name}: the configuration of the backup has no file for it")
        return database
    if name == f"config/{archive.manifest.config}":
        return path
    if kind == "config":
        return path.parent / rest
    if kind == "data":
        return config.agent.data_dir / rest
    outside = Path("/") / rest
    if not belongs(outside, config):
        raise BackupError(f"{outside}: its configuration names no such file; nothing was changed")
    return outside


def _put_all(archive: ArchiveReader, places: dict[str, Path]) -> None:
    """First everything beside its place, then renames: a full disk changes nothing."""
    incoming: dict[Path, Path] = {}
    try:
        for name, place in places.items():
            place.parent.mkdir(parents=True, exist_ok=True)
            new = place.with_name(f"{place.name}{INCOMING}")
            incoming[new] = place
            with archive.open(name) as source, new.open("wb") as target:
                new.chmod(0o600 if name == DATABASE else archive.mode(name))
                shutil.copyfileobj(source, target)
                target.flush()
                os.fsync(target.fileno())
            if name == DATABASE and not copy_of(place).exists():
                start_new_stream(new)
        for new, place in incoming.items():
            if place == places.get(DATABASE) and place.exists():
                move_aside(place, "replaced")
            new.rename(place)
    finally:
        for new in incoming:
            new.unlink(missing_ok=True)
