"""A database file that was deleted while it is open: all of it is still there, and is written out once more."""

from __future__ import annotations

import logging
import os
import sqlite3
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

log = logging.getLogger(__name__)


def rescue(engine: Engine, path: Path) -> bool:
    """Write the deleted database that `engine` holds open to `path` again; False if that did not succeed.

    Its only connection is closed in between: what is left of the old -wal must not be taken for the new file's.
    """
    temporary = path.with_name(f".{path.name}.rescue")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            target = sqlite3.connect(temporary)
            try:
                driver.backup(target)
            finally:
                target.close()
        engine.dispose()
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        temporary.replace(path)
    except (OSError, sqlite3.Error, SQLAlchemyError) as error:
        log.warning("%s: the deleted database could not be written out again: %s", path, error)
        temporary.unlink(missing_ok=True)
        return False
    return True
