"""What the log says while a line is private, whoever says it: in a process of its own, whose hooks are all replaced."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import logging, sys, threading, warnings
from pathlib import Path
from agent.privacy.quiet_log import error_text, make_logs_private, protect, withheld

logging.basicConfig(level=logging.INFO, stream=sys.stderr)
make_logs_private()
error = FileNotFoundError(2, "No such file", "/scans/Miller^Anna.dcm")
print(error_text(ValueError("a fault")))
protect([Path("/scans")])
print(error_text(error), withheld("lost: /scans/Miller^Anna 1970.dcm, and more"))
log = logging.getLogger("any.library")
log.warning("cannot read %s", Path("/scans/in/Miller^Anna.dcm"))
log.warning("%d of %s", "Miller^Anna", 3)
try:
    raise KeyError("Miller^Anna") from error
except KeyError:
    log.exception("a file failed")
warnings.warn("/scans/Miller^Anna is odd")
warnings.warn('The string "Miller^Anna" is unlikely to be a name')
logging.getLogger("pydicom").warning("Invalid value for VR PN: %r", "Miller^Anna")
class Odd:
    def __del__(self):
        raise ValueError("Miller^Anna")
Odd()
def fail():
    raise OSError(5, "I/O error", "/scans/Miller^Anna.dcm")
thread = threading.Thread(target=fail, name="watcher")
thread.start()
thread.join()
log.warning("the end")
raise SystemExit(fail() or 3)
"""


def test_no_part_and_no_library_names_a_file_of_a_private_line():
    root = Path(__file__).parents[3]
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False, cwd=root
    )
    said = found.stdout + found.stderr
    assert "Miller" not in said, said
    assert "ValueError: a fault" in found.stdout and "FileNotFoundError lost: (a path" in found.stdout
    for text in ("the end", "a file failed", "KeyError", "in watcher", "in MainThread", "in fail"):
        assert text in said, text
