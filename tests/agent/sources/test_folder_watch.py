"""Hints where the kernel gives them; where it cannot, the folder is polled and that is said with what to raise."""

import errno
import threading
from pathlib import Path

import pytest
from watchdog.observers import Observer

from agent.config.source import FolderSource
from agent.sources.folder_watch import RETRY_S, FolderWatch
from agent.sources.mounts import Mount


def a_watch(path, **settings):
    wake = threading.Event()
    return FolderWatch("belt", FolderSource(type="folder", path=path, **settings), wake), wake


def test_a_nested_folder_that_is_moved_in_whole_is_heard(tmp_path):
    hot, whole = tmp_path / "in", tmp_path / "lot" / "a"
    hot.mkdir()
    whole.mkdir(parents=True)
    (whole / "x.png").write_bytes(b"x")
    watch, wake = a_watch(hot, recursive=True)
    watch.follow((1, 1), None, 0.0)
    try:
        assert watch.hears and watch.way == "watching"
        (tmp_path / "lot").rename(hot / "lot")
        assert wake.wait(10)
        # And what comes into it later.
        wake.clear()
        (hot / "lot" / "a" / "y.png").write_bytes(b"y")
        assert wake.wait(10)
    finally:
        watch.stop()


@pytest.mark.parametrize(
    ("number", "limit"),
    [(errno.ENOSPC, "fs.inotify.max_user_watches"), (errno.EMFILE, "fs.inotify.max_user_instances")],
)
def test_an_exhausted_kernel_is_named_with_its_sysctl_and_asked_again(tmp_path, monkeypatch, caplog, number, limit):
    def refuse(self):
        raise OSError(number, "inotify limit reached")

    monkeypatch.setattr(Observer, "start", refuse)
    watch, _ = a_watch(tmp_path)
    watch.follow((1, 1), None, 100.0)
    assert not watch.hears and watch.way == f"polling (inotify is exhausted, raise {limit})"
    monkeypatch.undo()
    watch.follow((1, 1), None, 100.0 + RETRY_S / 2)
    assert not watch.hears
    watch.follow((1, 1), None, 100.0 + RETRY_S)
    assert watch.hears and watch.way == "watching"
    assert caplog.text.count(limit) == 1
    watch.stop()


def test_a_share_is_polled_by_its_kind_unless_told_otherwise(tmp_path):
    share = Mount(Path("/mnt"), "nfs4")
    for settings, mount, way in (
        ({}, share, "polling (nfs4)"),
        ({"network": True}, None, "polling (network: true)"),
        ({"network": False}, share, "watching"),
        ({}, Mount(Path("/"), "ext4"), "watching"),
    ):
        watch, _ = a_watch(tmp_path, **settings)
        watch.follow((1, 1), mount, 0.0)
        assert (watch.way, watch.hears) == (way, way == "watching")
        watch.stop()


def test_an_observer_whose_thread_died_is_replaced(tmp_path):
    watch, _ = a_watch(tmp_path)
    watch.follow((1, 1), None, 0.0)
    first = watch._observer
    first.stop()
    first.join()
    watch.follow((1, 1), None, 1.0)
    assert watch.hears and watch._observer is not first
    watch.stop()
