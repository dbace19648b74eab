"""The file itself: a broken one is moved aside, a network file system is known."""

from pathlib import Path

from agent.store.access import open_writer
from agent.store.sqlite_file import filesystem_of, make_private_folder
from agent.store.writer import Writer
from tests.factories.agent import row_count


def test_a_corrupt_file_is_moved_aside_loudly(url, tmp_path, caplog):
    database = open_writer(url)
    Writer(database).start_run("run-1", lambda step: None)
    database.close()
    data = bytearray((tmp_path / "agent.db").read_bytes())
    data[4096:] = b"\x5a" * (len(data) - 4096)
    (tmp_path / "agent.db").write_bytes(data)
    fresh = open_writer(url)
    assert row_count(fresh, "runs") == 0
    assert len(list(tmp_path.glob("agent.db.corrupt-*"))) == 1
    assert "corrupt" in caplog.text
    fresh.close()


def test_garbage_is_moved_aside(url, tmp_path):
    (tmp_path / "agent.db").write_bytes(b"not a database at all" * 500)
    open_writer(url).close()
    assert len(list(tmp_path.glob("agent.db.corrupt-*"))) == 1


def test_files_of_an_earlier_version_become_private(url, tmp_path):
    open_writer(url).close()
    for file in tmp_path.glob("*agent.db*"):
        file.chmod(0o644)
    database = open_writer(url)
    assert {file.stat().st_mode & 0o777 for file in tmp_path.glob("*agent.db*")} == {0o600}
    assert len(list(tmp_path.glob("*agent.db*"))) == 6
    database.close()


def test_a_data_directory_is_closed_unless_others_bring_files_through_it(tmp_path):
    data = tmp_path / "var"
    (data / "pictures").mkdir(parents=True)
    (data / "inbox").mkdir()
    data.chmod(0o755)
    make_private_folder(data, [data / "inbox"])
    assert data.stat().st_mode & 0o777 == 0o755 and (data / "pictures").stat().st_mode & 0o777 == 0o700
    make_private_folder(data, [tmp_path / "elsewhere"])
    assert data.stat().st_mode & 0o777 == 0o700


def test_file_systems():
    mounts = "/dev/a / ext4 rw 0 0\nhost:/x /mnt/share nfs4 rw 0 0\nt /mnt/share/local tmpfs rw 0 0\n"
    assert filesystem_of(Path("/mnt/share/x.db"), mounts) == "nfs4"
    assert filesystem_of(Path("/mnt/share/local/x.db"), mounts) == "tmpfs"
    assert filesystem_of(Path("/mnt/shared/x.db"), mounts) == "ext4"
