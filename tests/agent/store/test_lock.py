"""One agent a data directory and a database."""

import pytest

from agent.errors import StoreError
from agent.store.lock import DataLock, is_locked


def test_one_agent_a_data_directory(tmp_path):
    assert not is_locked(tmp_path)
    with DataLock(tmp_path), pytest.raises(StoreError, match="another agent"):
        assert is_locked(tmp_path)
        DataLock(tmp_path)
    assert not is_locked(tmp_path)
    DataLock(tmp_path).release()


def test_one_agent_a_database_whatever_it_is_called(tmp_path):
    one, two, data = tmp_path / "one", tmp_path / "two", tmp_path / "data"
    data.mkdir()
    (tmp_path / "link").symlink_to(data)
    with DataLock(one, data / "agent.db"):
        with pytest.raises(StoreError, match=r"another agent \(process \d+\) uses the database agent.db"):
            DataLock(two, tmp_path / "link" / "agent.db")
        # What it had taken before is free again.
        DataLock(two, data / "other.db").release()
    with DataLock(two, data / "agent.db"):
        assert sorted(p.name for p in data.iterdir()) == [".agent.db.lock", ".other.db.lock"]
        assert (data / ".agent.db.lock").stat().st_mode & 0o777 == 0o600
