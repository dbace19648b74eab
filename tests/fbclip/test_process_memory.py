"""What a process frees it has again at once, unless its environment says otherwise."""

import os
import subprocess
import sys

# In processes of their own: what the C library is told holds for all of a process. 24 MB are 5,860 pages.
SCRIPT = """
import resource
from fbclip.process_memory import keep_freed_memory
keep_freed_memory()
def work():
    return len(b"x" * 24_000_000)
work(), work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(**environment: str) -> int:
    """Pages that the system had to clear for four rounds of the same work."""
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return int(answer.stdout)


def test_freed_memory_is_kept_unless_the_environment_says_otherwise():
    assert faults() < 1_000
    assert faults(MALLOC_MMAP_THRESHOLD_="65536") > 4 * 5_000
