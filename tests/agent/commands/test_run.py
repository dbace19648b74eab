"""The last resort: a process that cannot end by itself ends all the same, and its log says where it hung."""

import subprocess
import sys


def test_a_process_that_cannot_end_is_ended_with_its_stacks_in_the_log():
    code = (
        "import threading; from agent.commands import run\n"
        "run.LAST_RESORT_S = 0.2\n"
        "run.end_for_sure()\n"
        "def hangs(): threading.Event().wait()\n"
        "hangs()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "in hangs" in done.stderr
