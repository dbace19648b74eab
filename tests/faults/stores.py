"""The store is full, damaged, deleted or locked."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.invariants import check, check_counters, check_database, check_messages
from tests.faults.site import Site, a_site

MB = 1 << 20
DISK = 24 * MB
_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
"""


def full_disk(folder: Path, files: int) -> str:
    """Data directory on a file system of 24 MB: first no room for images, then none at all, then room again."""
    with a_disk(folder.with_name(f"{folder.name}-disk")) as disk, a_site(folder, data=disk / "var") as site:
        site.start()
        site.drop(files)
        site.settle()
        _fill(disk, leave=3 * MB)
        site.drop(files)
        site.settle()
        newest = "SELECT image_ref FROM inspections ORDER BY id DESC LIMIT ?"
        bare = site.number(f"SELECT count(*) FROM ({newest}) WHERE image_ref IS NULL", files)
        assert bare == files, f"{files - bare} images were written below the floor"
        assert "evidence images are not kept" in site.problems()
        _fill(disk, leave=0)
        known, added = site.judged(), 0
        # Its log and its ballast are used up first.
        while site.waiting() == 0 or added < 4 * files:
            site.drop(files)
            added += files
            site.until(lambda: site.waiting() == 0 or _refuses(site), "the disk to be full", 60)
            _fill(disk, leave=0)
            if _refuses(site):
                break
            assert added < 100 * files, "the disk does not fill up"
        site.until(lambda: _refuses(site), "the full disk to be named", 30)
        refused = site.waiting()
        assert site.alive
        for block in disk.glob("block*"):
            block.unlink()
        site.settle(90)
        check_counters(site, at_rest=True)
        assert site.stop() == 0
        counts = check(site)
        return (
            f"{bare} verdicts without image, {site.judged() - known} more judged in what was left, "
            f"{refused} files waited for room, {counts}"
        )


def corrupt_page(folder: Path, pages: int, files: int) -> str:
    """Pages of the database are overwritten while it is closed, `pages` times one, with alerts that wait."""
    lost = 0
    with a_site(folder) as site:
        for turn in range(pages):
            site.broker.stop()
            site.start()
            site.drop(files)
            site.until(lambda: site.waiting() == 0, "files to be judged")
            site.kill()
            before = site.judged()
            _overwrite(site, first=turn == 0)
            site.start()
            site.until(lambda: site.waiting() == 0, "the agent to judge again")
            lost += before - site.judged()
            site.broker.start()
            site.settle(90)
            assert site.stop() == 0
        check_database(site)
        heard = check_messages(site)
        alerts = len({body["event_id"] for body in heard.values() if body["topic"].endswith("/event")})
        assert alerts == len(site.accepted), f"{len(site.accepted) - alerts} alerts were never heard"
        aside = len(list(site.data.glob("agent.db.corrupt-*")))
        return (
            f"{pages} pages overwritten, {aside} files set aside, {len(site.accepted)} files, {alerts} alerts heard, "
            f"{lost} rows of inspections lost with their page"
        )


def deleted(folder: Path, rounds: int, files: int) -> str:
    """Database, log and copy are removed while the agent runs and alerts wait."""
    with a_site(folder) as site:
        site.start()
        for _ in range(rounds):
            site.broker.stop()
            site.drop(files)
            site.until(lambda: site.waiting() < files // 2, "half of the files to be judged")
            for file in site.data.glob("*agent.db*"):
                if not file.name.endswith(".lock"):
                    file.unlink()
            site.until(site.store.is_file, "the database to be written anew")
            site.until(lambda: site.waiting() == 0, "the rest to be judged")
            site.broker.start()
            site.settle()
        assert site.stop() == 0
        return f"deleted {rounds} times, {check(site)}"


def locked(folder: Path, seconds: float, files: int) -> str:
    """Another process holds the database's write lock for so long."""
    with a_site(folder) as site:
        site.start()
        site.drop(files)
        site.settle()
        holder = subprocess.Popen(
            [sys.executable, "-c", _LOCK, str(site.store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            assert holder.stdout is not None and holder.stdout.readline() == b"locked\n"
            known = site.judged()
            site.drop(files)
            assert site.process is not None
            site.process.join(seconds)
            assert site.alive and site.judged() == known
            waited = site.waiting()
        finally:
            holder.communicate(b"\n", timeout=20)
        site.settle(90)
        check_counters(site, at_rest=True)
        assert site.stop() == 0
        return f"locked for {seconds:.0f} s, {waited} files waited, {check(site)}"


@contextmanager
def a_disk(folder: Path) -> Iterator[Path]:
    """A small file system of its own; skips where none can be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(disk: Path, leave: int) -> None:
    """Until only `leave` bytes are free."""
    usage = os.statvfs(disk)
    more = usage.f_bavail * usage.f_frsize - leave
    if more > 0:
        with (disk / f"block-{len(list(disk.glob('block*')))}").open("wb") as block:
            os.posix_fallocate(block.fileno(), 0, more)


def _refuses(site: Site) -> bool:
    return "full" in site.problems() and site.waiting() > 0


def _overwrite(site: Site, first: bool) -> None:
    """One page, after the log was written into the file; the first time one of the outbox."""
    connection = sqlite3.connect(site.store)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    count = connection.execute("PRAGMA page_count").fetchone()[0]
    root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'outbox'").fetchone()[0]
    connection.close()
    page = root if first else site.random.randrange(2, count + 1)
    with site.store.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(site.random.randbytes(size))
