"""One agent a data directory."""

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
