"""`agent backup`: everything that an agent would be missed for, in one archive, also while it runs."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import typer

from agent.backup.archive import DATABASE, BackupManifest, writing
from agent.backup.contents import DATA_NAMES, artefacts, database_of, pictures
from agent.commands.options import BackupRequest
from agent.config.loader import load_config
from agent.store.snapshot import snapshot
from fbclip import __version__


def backup_command(request: BackupRequest) -> None:
    """Raises BackupError, ConfigError or StoreError."""
    config = load_config(request.config)
    folder, data_dir = request.config.absolute().parent, config.agent.data_dir
    database = database_of(config)
    with writing(request.out) as archive:
        if database is not None:
            with tempfile.TemporaryDirectory(dir=request.out.absolute().parent, prefix=".backup-") as scratch:
                copy = Path(scratch) / "agent.db"
                snapshot(database, copy)
                archive.add(DATABASE, copy)
        archive.add(f"config/{request.config.name}", request.config)
        for path in artefacts(config):
            archive.add(_member(path, folder), path)
        kept = [data_dir / name for name in DATA_NAMES] + (pictures(config) if request.pictures else [])
        for path in kept:
            if path.is_file():
                archive.add(f"data/{path.relative_to(data_dir).as_posix()}", path)
        archive.close(
            BackupManifest(
                created=datetime.now(UTC),
                version=__version__,
                agent=config.agent.name,
                config=request.config.name,
                files=archive.files,
            )
        )
    typer.echo(f"{request.out}: {len(archive.files)} files, {request.out.stat().st_size / 1e6:.1f} MB")
    if database is None:
        typer.echo("the database is on a server and not in it; back it up there")


def _member(path: Path, folder: Path) -> str:
    absolute = path.absolute()
    if folder in absolute.parents:
        return f"config/{absolute.relative_to(folder).as_posix()}"
    return f"outside{absolute.as_posix()}"
