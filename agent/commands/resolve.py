"""`agent resolve`: the file of a private line behind a reference, for whoever may read key and database."""

from __future__ import annotations

import typer

from agent.commands.options import ResolveRequest
from agent.config.loader import load_config
from agent.errors import StoreError
from agent.privacy.references import read_references
from agent.store.access import open_reader
from agent.store.reader import Reader


def resolve_command(request: ResolveRequest) -> None:
    """Print where the file lay when it arrived. Raises ConfigError, or StoreError where no file is known by it."""
    config = load_config(request.config)
    references = read_references(config.agent.data_dir)
    wanted = request.reference.strip().lower()
    database = open_reader(config.store_url, config.agent.name)
    try:
        for line, path, sha256 in Reader(database).judged_files():
            if references.of(line, path, sha256) == wanted:
                typer.echo(path if path.isprintable() else repr(path))
                return
    finally:
        database.close()
    raise StoreError("no file of this database has that reference; its row may have been pruned, or the key replaced")
