"""A real PostgreSQL server in a temporary folder, one for all tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from tests.factories.brokers import accepts, free_port, wait_until

PASSWORD = "not so secret"
on_both_engines = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
"""For a test of the store whose `database` is a file and then a database of the server."""


class PostgresServer:
    """`stop` and `start` again keep port and data; `new_database` gives each test a URL of its own."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries, self._data = binaries, folder / "data"
        # It refuses to run as root.
        self._user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        self.port = free_port()
        secret = folder / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        secret.chmod(0o644)
        self._run("initdb", "-U", "agent", "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "--no-sync")
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(f"listen_addresses='127.0.0.1'\nport={self.port}\nunix_socket_directories=''\n")
            # For tests that stop the server, not the power.
            file.write("fsync=off\ntimezone='Asia/Tokyo'\n")

    def start(self) -> None:
        # After a kill the memory of the one before may be held a moment longer than its processes live.
        wait_until(self._started)
        wait_until(lambda: accepts(self.port))

    def _started(self) -> bool:
        try:
            self._run("pg_ctl", "-w", "-l", str(self._data / "log"), "start")
        except subprocess.CalledProcessError:
            return False
        return True

    def stop(self) -> None:
        """At once: connections are cut."""
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def kill(self) -> None:
        """By SIGKILL, as the kernel does it when memory is out: nothing is written, nobody is told."""
        pid = int((self._data / "postmaster.pid").read_text(encoding="utf-8").split()[0])
        os.kill(pid, signal.SIGKILL)
        # Its children notice, and until they are gone no other server takes the data.
        wait_until(lambda: not (accepts(self.port) or _children_of(self._data)))

    def cut(self, database: str) -> int:
        """End every connection to a database; returns how many there were."""
        query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        return int(str(self.execute("postgres", f"{query} WHERE datname = '{database}'")[0][0]))

    def new_database(self, password: str | None = PASSWORD) -> str:
        name = f"t{uuid4().hex[:12]}"
        self.execute("postgres", f"CREATE DATABASE {name}")
        secret = "" if password is None else f":{password.replace(' ', '%20')}"
        return f"postgresql://agent{secret}@127.0.0.1:{self.port}/{name}"

    def execute(self, database: str, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="agent", password=PASSWORD, dbname=database, autocommit=True
        ) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), "-D", str(self._data), *arguments]
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=60, cwd="/", **self._user
        )


def name_of(url: str) -> str:
    """Of the database that a URL names."""
    return url.rpartition("/")[2]


def _children_of(data: Path) -> bool:
    """Whether a process works in a server's folder."""
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if link.readlink() == data:
                return True
    return False


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Skips where no server is installed."""
    with running_postgres() as server:
        yield server


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """In a folder of its own; skips where no server is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        server = PostgresServer((found[-1] if found else Path(str(on_path))).parent, folder)
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
