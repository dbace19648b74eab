"""A disk that is really full: verdicts go on while there is room at all, and everything recovers."""

import logging
import os
import sqlite3
import subprocess
from datetime import UTC, datetime

import numpy as np
import pytest

from agent.config.services import RetentionSection
from agent.errors import StoreError
from agent.pipeline.evidence import EvidenceWriter
from agent.records import Frame
from agent.store.access import open_writer
from agent.store.ballast import Ballast, picture_floor
from agent.store.keeper import StoreKeeper
from agent.store.outbox import Outbox
from agent.store.retention import Retention
from agent.store.writer import Writer
from fbclip.decision import Decision, Verdict
from tests.factories.agent import a_draft, an_inspection, row_count

MB = 1 << 20
SIZE = 24 * MB
WALL = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def disk(tmp_path):
    """A small file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def free(folder):
    usage = os.statvfs(folder)
    return usage.f_bavail * usage.f_frsize


def fill(path, leave=0):
    """A file that takes all but `leave` bytes of its disk."""
    with path.open("wb") as stream:
        while (room := free(path.parent) - leave) > 0:
            try:
                stream.write(bytes(min(room, MB)))
                stream.flush()
            except OSError:
                return


class Agent:
    """What writes to the disk: recorder's writer, evidence and keeper."""

    def __init__(self, folder):
        self.folder = folder
        self.database = open_writer(f"sqlite:///{folder}/agent.db")
        self.writer = Writer(self.database)
        self.writer.start_run("run-1", lambda step: None)
        self.evidence = EvidenceWriter(folder, "run-1")
        retention = Retention(self.database, folder, RetentionSection(min_free_mb=2), "run-1")
        self.keeper = StoreKeeper(self.database, self.writer, retention, wall=lambda: WALL)
        self.seq = 0

    def verdict(self):
        self.seq += 1
        pixels = np.random.default_rng(self.seq).integers(0, 256, (200, 300, 3), np.uint8)
        frame = Frame("belt", self.seq, WALL, 0.0, pixels)
        refs = self.evidence.save(frame, None, None, None, Decision(Verdict.ANOMALY, None, 2.0, 1.0, 0.7, 1.0))
        inspection = an_inspection(Verdict.ANOMALY, self.seq, image_ref=refs.image_ref)
        self.writer.record(inspection, (), [a_draft()])
        return refs.image_ref


def test_images_stop_at_the_floor_and_verdicts_go_on_at_once(disk):
    agent = Agent(disk)
    fill(disk / "others", leave=picture_floor(SIZE) + 500_000)
    kept = [agent.verdict() for _ in range(60)]
    assert kept[0] is not None and kept[-1] is None
    assert row_count(agent.database, "inspections") == 60
    assert "evidence images are not kept" in agent.evidence.problem()
    # The keeper makes room by removing images; then they are kept again.
    (disk / "others").unlink()
    agent.keeper.step()
    assert agent.evidence.problem() is None and agent.verdict() is not None
    agent.database.close()


def test_a_full_disk_degrades_says_one_line_and_recovers(disk, caplog):
    agent = Agent(disk)
    agent.keeper.step()
    assert (disk / "ballast").stat().st_size == SIZE // 20
    fill(disk / "others")
    with pytest.raises(StoreError, match="make room on its disk; the agent goes on by itself") as caught:
        for _ in range(2000):
            agent.verdict()
    assert "\n" not in str(caught.value)
    before = row_count(agent.database, "inspections")
    with caplog.at_level(logging.WARNING):
        agent.keeper.step()
        # The ballast is let go: the frame that was refused is recorded when it is tried again.
        agent.verdict()
    assert row_count(agent.database, "inspections") == before + 1
    assert "its ballast is let go" in agent.keeper.problems()[0]
    assert all(record.exc_info is None for record in caplog.records)
    (disk / "others").unlink()
    for _ in range(3):
        agent.keeper.step()
    assert agent.keeper.problems() == () and (disk / "ballast").exists()
    agent.verdict()
    waiting = [m.body["message_seq"] for m in Outbox(agent.database).pending(10_000)]
    assert waiting == list(range(1, len(waiting) + 1)) and len(waiting) == before + 2
    agent.database.close()
    assert sqlite3.connect(disk / "agent.db").execute("pragma quick_check").fetchone() == ("ok",)


def test_a_database_that_another_program_locks_is_one_line_and_recovers(url, tmp_path, caplog):
    agent = Agent(tmp_path)
    with agent.database.transaction() as connection:
        connection.exec_driver_sql("pragma busy_timeout=10")
    other = sqlite3.connect(tmp_path / "agent.db", isolation_level=None)
    other.execute("begin immediate")
    with pytest.raises(StoreError, match="database is locked: another program holds it"):
        agent.verdict()
    agent.keeper.step()
    assert "the store cannot be tidied: " in agent.keeper.problems()[0]
    assert all(record.exc_info is None for record in caplog.records)
    other.execute("commit")
    agent.keeper.step()
    agent.verdict()
    assert agent.keeper.problems() == () and row_count(agent.database, "inspections") == 1
    agent.database.close()


def test_a_disk_too_small_for_ballast_goes_without(disk):
    fill(disk / "others", leave=2 * MB)
    ballast = Ballast(disk)
    ballast.keep()
    assert not (disk / "ballast").exists()
    ballast.release()
    assert not ballast.released
