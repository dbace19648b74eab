"""A folder that is gone, unmounted, recreated, taken or read-only is named, and comes back by itself. Real mounts."""

import subprocess

import pytest

from agent.config.source import FolderSource
from agent.errors import SourceError
from agent.sources.folder_lock import FolderLocks
from agent.sources.folder_root import FolderRoot
from agent.store.access import open_writer
from agent.store.mount_memory import StoredMounts


def mount(*arguments):
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("mounts are not allowed here")


def unmount(path):
    subprocess.run(["umount", str(path)], check=True)


@pytest.fixture
def share(tmp_path):
    """A mounted file system with a hot folder at its top."""
    path = tmp_path / "share"
    path.mkdir()
    mount("-t", "tmpfs", "tmpfs", path)
    yield path
    subprocess.run(["umount", str(path)], check=False, capture_output=True)


def a_root(path, locks=None, mounts=None, **settings):
    return FolderRoot("belt", FolderSource(type="folder", path=path, **settings), locks, mounts)


@pytest.fixture
def memory(tmp_path):
    database = open_writer(f"sqlite:///{tmp_path / 'agent.db'}")
    yield StoredMounts(database)
    database.close()


def an_emptying_root(path, **settings):
    """Of a line whose files leave the folder."""
    return a_root(path, FolderLocks(), **settings)


def test_what_lies_under_an_unmounted_share_is_not_the_folder_and_a_new_mount_is(share):
    root = a_root(share)
    root.look()
    assert root.mount.point == share and root.mount.kind == "tmpfs" and not root.changed()
    unmount(share)
    assert root.changed()
    for _ in range(2):
        with pytest.raises(SourceError, match="not mounted any more"):
            root.look()
    mount("-t", "tmpfs", "tmpfs", share)
    # The kernel may give it the numbers of the first one.
    root.look()
    assert not root.changed()


def test_a_read_only_file_system_is_named_and_judging_goes_on(share):
    (share / "in").mkdir()
    root = an_emptying_root(share / "in")
    root.look()
    assert root.obstacle() is None
    mount("-o", "remount,ro", share)
    root.look()
    assert root.obstacle() == "judged files cannot leave the folder: Read-only file system"
    assert an_emptying_root(share / "in", after="leave").obstacle() is None
    # Who only looks takes nothing out.
    assert a_root(share / "in").obstacle() is None
    out = {"done": share / "done", "failed": share / "failed", "after": "copy"}
    assert (
        an_emptying_root(share / "in", **out).obstacle()
        == "judged files cannot be put into done: Read-only file system"
    )
    mount("-o", "remount,rw", share)
    assert root.obstacle() is None
    root.leave()


def test_a_recreated_folder_is_another_one_and_its_lock_is_taken_anew(tmp_path):
    hot, locks = tmp_path / "in", FolderLocks()
    hot.mkdir()
    root, other = a_root(hot, locks), FolderRoot("dock", FolderSource(type="folder", path=hot), locks)
    first = root.look()
    hot.rename(tmp_path / "old")
    with pytest.raises(FileNotFoundError):
        root.look()
    hot.mkdir()
    assert root.changed() and root.look() != first
    with pytest.raises(SourceError, match="line belt empties"):
        other.look()
    # The old folder is free.
    locks.take("dock", tmp_path / "old").release()
    root.leave()
    other.look()
    other.leave()


def test_a_share_that_was_there_in_an_earlier_run_is_missed_at_the_start(share, memory):
    a_root(share, mounts=memory).look()
    unmount(share)
    later = a_root(share, mounts=memory)
    for _ in range(2):
        with pytest.raises(SourceError, match=r"in an earlier run \(tmpfs\) is not mounted; .* source.mount: /"):
            later.look()
    # Who says that it is meant to be so is believed, and asked no more.
    a_root(share, mounts=memory, mount="/").look()
    a_root(share, mounts=memory).look()
    mount("-t", "tmpfs", "tmpfs", share)
    later.look()
    assert later.mount.point == share and memory.recall("belt", share) == (share, "tmpfs")


def test_a_folder_elsewhere_or_on_another_machine_is_not_missed(share, memory, tmp_path):
    a_root(share, mounts=memory).look()
    assert memory.recall("belt", share / "in") is None and memory.recall("dock", share) is None
    here = tmp_path / "machine"
    here.write_text("another")
    assert StoredMounts(memory._database, here).recall("belt", share) is None
    assert StoredMounts(memory._database, tmp_path / "none").recall("belt", share) is None


def test_a_memory_that_is_damaged_is_none(memory, tmp_path):
    a_root(tmp_path, mounts=memory).look()
    with memory._database.transaction() as connection:
        connection.exec_driver_sql("update meta set value = 'x' where key like 'mount:%'")
    assert memory.recall("belt", tmp_path) is None
    a_root(tmp_path, mounts=memory).look()
    assert memory.recall("belt", tmp_path) is not None


def test_a_share_of_fstab_is_missed_at_the_very_first_start(tmp_path, monkeypatch):
    (tmp_path / "share/in").mkdir(parents=True)
    table = tmp_path / "fstab"
    table.write_text(f"server:/line {tmp_path}/share nfs noauto 0 0\n")
    monkeypatch.setattr("agent.sources.mounts.FSTAB", table)
    with pytest.raises(SourceError, match=r"/etc/fstab has for the folder \(nfs\) is not mounted"):
        a_root(tmp_path / "share/in").look()
    a_root(tmp_path / "share/in", mount="/").look()


def test_a_mount_point_that_is_named_must_be_there(share, tmp_path):
    (share / "in").mkdir()
    named = a_root(share / "in", mount=share)
    named.look()
    with pytest.raises(SourceError, match="or it does not hold the folder"):
        a_root(tmp_path, mount=share).look()
    unmount(share)
    (share / "in").mkdir()
    for root in (named, a_root(share / "in", mount=share)):
        with pytest.raises(SourceError, match=r"no file system is mounted at source\.mount"):
            root.look()
