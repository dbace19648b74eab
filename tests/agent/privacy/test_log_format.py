"""The log as JSON: one object a line, the frame through all lines of it, and no name of a private line."""

import io
import json
import logging
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from agent.pipeline.judge import Judge
from agent.pipeline.lines import Line, LiveLines
from agent.privacy.log_format import json_formatter
from agent.records import Frame
from tests.factories.agent import COMMITTED
from tests.factories.lines import a_line, a_profile

PROGRAM = """
import logging
from pathlib import Path
from agent.privacy.log_format import LogFormat, start_log
from agent.privacy.quiet_log import protect

start_log(LogFormat.JSON)
log = logging.getLogger("any.library")
log.info("two\\nlines of %s", "text")
try:
    raise ValueError("a fault")
except ValueError:
    log.exception("it failed")
protect([Path("/scans")])
log.warning("cannot read %s", Path("/scans/in/Miller^Anna.dcm"))
try:
    raise KeyError("Miller^Anna")
except KeyError:
    log.exception("a file failed")
logging.getLogger("pydicom").warning("Invalid value: %r", "Miller^Anna")
"""


def test_every_line_is_an_object_and_names_nobody():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert "Miller" not in done.stderr
    rows = [json.loads(line) for line in done.stderr.splitlines()]
    assert [row["level"] for row in rows] == ["info", "error", "warning", "error", "warning"]
    assert rows[0]["event"] == "two\nlines of text"
    assert {"time", "level", "logger", "thread", "event"} == rows[0].keys()
    assert rows[0]["time"].endswith("Z")
    assert "ValueError: a fault" in rows[1]["exception"]
    assert rows[3]["exception"].endswith("KeyError")


@pytest.fixture
def rows():
    """What the pipeline logs as JSON, until the end of the test."""
    stream, logger = io.StringIO(), logging.getLogger("agent.pipeline")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(json_formatter())
    logger.addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)


def test_what_is_said_of_a_frame_carries_its_id(detector, rows, monkeypatch):
    line = a_line(detector, a_profile(detector))
    other = Line(line.section.model_copy(update={"name": "dock"}), line.adapter, line.loaded)
    monkeypatch.setattr(type(detector), "infer_terms", lambda *_: (_ for _ in ()).throw(RuntimeError("out of memory")))
    image = np.random.default_rng(1).integers(40, 200, (40, 40, 3), dtype=np.uint8)
    frame = Frame("belt", 7, COMMITTED, 0.0, image)
    Judge(detector, LiveLines([line, other]), "r").judge([frame, replace(frame, line="dock", seq=9)])
    assert [row.get("inspection") for row in rows()] == [None, "belt-7", "dock-9"]
