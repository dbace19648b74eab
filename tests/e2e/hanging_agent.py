"""The `agent` script with one part that hangs from its first work on; the part is named before the command."""

import sys
import threading

from agent.cli import main
from agent.pipeline.judge import Judge
from agent.pipeline.recorder import Recorder

PARTS = {"detector": (Judge, "judge"), "recorder": (Recorder, "record")}


def hang(*_: object) -> None:
    threading.Event().wait()


if __name__ == "__main__":
    kind, method = PARTS[sys.argv.pop(1)]
    setattr(kind, method, hang)
    main()
