"""A backup that is made while an agent writes, put back elsewhere and in place; and what is refused."""

import io
import sqlite3
import tarfile
from pathlib import Path
from uuid import uuid4

import pytest

from agent.backup.archive import BackupError
from agent.commands.backup import backup_command
from agent.commands.init import init_command
from agent.commands.options import BackupRequest, InitRequest, RestoreRequest
from agent.commands.restore import restore_command
from agent.config.loader import load_config
from agent.errors import StoreError
from agent.steering.overrides import LineOverride, Overrides, save_overrides
from agent.store.access import open_writer
from agent.store.lock import DataLock
from agent.store.outbox import Outbox
from agent.store.writer import Writer
from fbclip.errors import ConfigError
from tests.factories.agent import a_draft


class Running:
    """A writer on the store of `folder`, as of a running agent."""

    def __init__(self, folder: Path) -> None:
        self.config = load_config(folder / "agent.yaml")
        self.database = open_writer(self.config.store_url)
        self.writer = Writer(self.database)
        self.writer.start_run(str(uuid4()), lambda _: None)

    def post(self) -> None:
        self.writer.post([a_draft()])


@pytest.fixture
def folder(tmp_path):
    """A folder of an agent that has run."""
    made = tmp_path / "site"
    init_command(InitRequest(made, samples=True))
    return made


@pytest.fixture
def running(folder):
    agent = Running(folder)
    yield agent
    agent.database.close()


def back_up(folder: Path, out: Path, pictures: bool = False) -> Path:
    backup_command(BackupRequest(out, pictures, folder / "agent.yaml"))
    return out


def rows(folder: Path) -> tuple[int, str]:
    """Messages in the outbox, and the stream."""
    connection = sqlite3.connect(folder / "var" / "agent.db")
    try:
        count = connection.execute("SELECT count(*) FROM outbox").fetchone()[0]
        return count, connection.execute("SELECT value FROM meta WHERE key = 'stream_id'").fetchone()[0]
    finally:
        connection.close()


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_agent_moves_to_another_machine(folder, running, tmp_path):
    running.post()
    save_overrides(Overrides().put("belt", LineOverride(enabled=False)), folder / "var")
    picture = folder / "var" / "pictures" / "belt" / "1.jpg"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"picture")
    archive = back_up(folder, tmp_path / "agent.tar", pictures=True)
    assert archive.stat().st_mode & 0o777 == 0o600

    there = tmp_path / "there"
    restore_command(RestoreRequest(archive, config=there / "agent.yaml"))
    here, new = tree(folder), tree(there)
    kept = [name for name in here if name.startswith(("samples/profiles/", "samples/memories/"))]
    assert len(kept) == 8
    for name in (*kept, "agent.yaml", "var/steering.json", "var/pictures/belt/1.jpg"):
        assert new[name] == here[name], name
    assert rows(there)[0] == rows(folder)[0] == 1
    # Numbers that were given out since the backup are not known there.
    assert rows(there)[1] != rows(folder)[1]
    assert (there / "var" / "agent.db").stat().st_mode & 0o777 == 0o600
    moved = Running(there)
    moved.post()
    moved.database.close()
    assert rows(there)[0] == 2


def test_in_place_nothing_is_overwritten_without_a_word_and_later_alerts_are_kept(folder, running, tmp_path):
    running.post()
    archive = back_up(folder, tmp_path / "agent.tar")
    running.post()
    running.database.close()
    (folder / "agent.yaml").write_text("broken", encoding="utf-8")
    before = tree(folder)
    with pytest.raises(ConfigError, match="--replace"):
        restore_command(RestoreRequest(archive, config=folder / "agent.yaml"))
    assert tree(folder) == before
    stream = rows(folder)[1]
    restore_command(RestoreRequest(archive, replace=True, config=folder / "agent.yaml"))
    assert rows(folder) == (1, stream)
    assert len(list((folder / "var").glob("agent.db.replaced-*"))) >= 1
    again = Running(folder)
    assert [m.body["message_seq"] for m in Outbox(again.database).pending(10)] == [1, 2]
    again.database.close()


def test_a_backup_is_refused_where_it_cannot_be_whole(folder, running, tmp_path):
    archive = back_up(folder, tmp_path / "agent.tar")
    with pytest.raises(BackupError, match="overwrites none"):
        back_up(folder, archive)
    whole = archive.read_bytes()
    there = tmp_path / "there"
    for damaged in (
        whole[: len(whole) // 2],
        whole.replace(b"SQLite format 3", b"SQLite format 4"),
        b"",
        b"text" * 999,
    ):
        archive.write_bytes(damaged)
        with pytest.raises(BackupError, match=r"agent\.tar"):
            restore_command(RestoreRequest(archive, config=there / "agent.yaml"))
        assert not there.exists()


@pytest.mark.parametrize("name", ["../../evil", "outside/etc/evil", "/etc/evil", "elsewhere/x"])
def test_an_archive_writes_nowhere_but_where_its_configuration_says(folder, running, tmp_path, name):
    archive = back_up(folder, tmp_path / "agent.tar")
    rewritten = tmp_path / "evil.tar"
    with tarfile.open(archive) as old, tarfile.open(rewritten, "w") as new:
        for member in old.getmembers():
            stream = old.extractfile(member)
            data = stream.read().replace(b'"config/samples/profiles/belt.yaml"', f'"{name}"'.encode())
            member.name = name if member.name == "config/samples/profiles/belt.yaml" else member.name
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    with pytest.raises(BackupError, match=r"has no place|names no such file"):
        restore_command(RestoreRequest(rewritten, config=tmp_path / "there" / "agent.yaml"))
    assert not (tmp_path / "there" / "var").exists()


def test_not_while_the_agent_runs(folder, running, tmp_path):
    archive = back_up(folder, tmp_path / "agent.tar")
    with DataLock(folder / "var"), pytest.raises(StoreError, match="another agent"):
        restore_command(RestoreRequest(archive, replace=True, config=folder / "agent.yaml"))


def test_a_profile_elsewhere_comes_back_to_its_place(folder, running, tmp_path):
    elsewhere = tmp_path / "recipes"
    elsewhere.mkdir()
    for file in (folder / "samples" / "profiles").glob("inbox*"):
        file.rename(elsewhere / file.name)
    config = folder / "agent.yaml"
    text = config.read_text(encoding="utf-8").replace("samples/profiles/inbox.yaml", str(elsewhere / "inbox.yaml"))
    config.write_text(text, encoding="utf-8")
    archive = back_up(folder, tmp_path / "agent.tar")
    before = tree(elsewhere)
    assert len(before) == 2
    for file in elsewhere.iterdir():
        file.unlink()
    restore_command(RestoreRequest(archive, config=tmp_path / "there" / "agent.yaml"))
    assert tree(elsewhere) == before
