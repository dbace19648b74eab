"""A hot folder has one line of one agent; the lock leaves no file in it and ends with whoever has it."""

import subprocess
import sys

import pytest

from agent.errors import SourceError
from agent.sources.folder_lock import FolderLocks, refuse_taken

HOLDER = """
import sys
from pathlib import Path
from agent.sources.folder_lock import FolderLocks
hold = FolderLocks().take("other", Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_another_process_has_it_until_it_ends(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(SourceError, match="another agent empties this hot folder"):
            FolderLocks().take("belt", tmp_path)
        with pytest.raises(SourceError, match=f"{tmp_path.name}: another agent"):
            refuse_taken(tmp_path)
        other.kill()
    refuse_taken(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_those_that_share_a_folder_have_it_together_and_nobody_else_has_it(tmp_path):
    first, second = FolderLocks(), FolderLocks()
    held = first.take("belt", tmp_path, shared=True), second.take("belt", tmp_path, shared=True)
    refuse_taken(tmp_path, shared=True)
    with pytest.raises(SourceError, match="another agent empties this hot folder"):
        FolderLocks().take("belt", tmp_path)
    for hold in held:
        hold.release()
    alone = FolderLocks().take("belt", tmp_path)
    with pytest.raises(SourceError, match="shared: true must stand in all or none of them"):
        refuse_taken(tmp_path, shared=True)
    alone.release()


def test_two_lines_of_one_agent_are_told_apart_and_one_line_shares_with_itself(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to("in")
    locks = FolderLocks()
    first, again = locks.take("belt", tmp_path / "in"), locks.take("belt", tmp_path / "link")
    first.release()
    first.release()
    with pytest.raises(SourceError, match="line belt empties this hot folder already"):
        locks.take("dock", tmp_path / "link")
    again.release()
    locks.take("dock", tmp_path / "in").release()


def test_a_folder_that_is_not_there_is_nobodys(tmp_path):
    refuse_taken(tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        FolderLocks().take("belt", tmp_path / "missing")
