"""A folder that is gone, unmounted, recreated, taken or read-only is named, and comes back by itself. Real mounts."""

import subprocess

import pytest

from agent.config.line import FolderSource
from agent.errors import SourceError
from agent.sources.folder_lock import FolderLocks
from agent.sources.folder_root import FolderRoot


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


def a_root(path, locks=None, **settings):
    return FolderRoot("belt", FolderSource(type="folder", path=path, **settings), locks)


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
