"""Devices by name."""

import os
import subprocess
import sys

import pytest
import torch

from fbclip.errors import ConfigError
from fbclip.runtime import pick_device


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_missing_gpu_is_a_configuration_error():
    assert pick_device("auto").type == "cpu"
    with pytest.raises(ConfigError, match="no such GPU"):
        pick_device("cuda")


def test_a_name_that_is_no_device_is_a_configuration_error():
    with pytest.raises(ConfigError, match="no such device"):
        pick_device("gpu0")


def test_freed_memory_is_kept_unless_the_environment_says_otherwise():
    """In processes of their own: what the C library is told holds for all of a process."""
    script = """
import os, resource, sys
from fbclip.runtime import prepare_process
import torch
prepare_process()
def work():
    return (torch.ones(6_000_000) + 1).sum()
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

    def faults(**environment: str) -> int:
        environ = os.environ | {"OMP_NUM_THREADS": "1"} | environment
        answer = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
        return int(answer.stdout)

    # 24 MB a tensor are 5,860 pages.
    assert faults() < 5_860 < faults(MALLOC_MMAP_THRESHOLD_="65536")
