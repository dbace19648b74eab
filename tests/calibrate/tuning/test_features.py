"""Tokens are computed once an image, in memory, in a file or not at all."""

import pytest
import torch

from calibrate.tuning.token_cache import TokenCache


@pytest.mark.parametrize(("limit", "memory", "disk"), [(1000, 5, 0), (2 * 96, 2, 3), (0, 0, 5)])
def test_cache_computes_once_in_memory_and_on_disk(tmp_path, limit, memory, disk):
    cache = TokenCache(5, (2, 3, 4), limit, tmp_path / "work")
    assert (cache.in_memory, cache.on_disk) == (memory, disk)
    calls = []
    rows = torch.randn(5, 2, 3, 4)

    def get(index):
        return cache.get(index, lambda: (calls.append(index), rows[index])[1])

    for index in (3, 0, 4, 3, 0, 4, 1, 2):
        assert torch.equal(get(index), rows[index])
    assert sorted(calls) == [0, 1, 2, 3, 4]
    cache.close()


def test_a_full_disk_only_costs_time(tmp_path, monkeypatch):
    monkeypatch.setattr("calibrate.tuning.token_cache.DISK_RESERVE", 1 << 62)
    cache = TokenCache(3, (1, 1, 1), 4, tmp_path)
    assert (cache.in_memory, cache.on_disk) == (1, 0)
    assert cache.get(2, lambda: torch.ones(1, 1, 1)) == 1
