"""`agent inspect` runs with what the profile was measured with."""

import json
import os

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.commands.inspect import inspect_files
from agent.config.line import LineSection
from agent.config.sections import ModelSection
from agent.pipeline.lines import load_detector
from fbclip.artefacts.profile_file import save_profile
from fbclip.errors import ConfigError
from tests.factories.lines import ENDLESS, FUSION, a_profile, load_lines, remember, unit_of_the_line, write_profile


def test_inspect_runs_in_the_precision_of_the_profile(tmp_path):
    section = LineSection(name="belt", source=ENDLESS, profile=tmp_path / "p.yaml", mode="shadow")
    detector = load_detector(ModelSection(device="cpu", precision="bfloat16"), [section])
    save_profile(a_profile(detector, size=256, precision="bfloat16"), tmp_path / "p.yaml")
    load_lines(detector, [section])
    cv2.imwrite(str(tmp_path / "x.png"), np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    answer = CliRunner().invoke(app, ["inspect", str(tmp_path / "x.png"), "--profile", str(tmp_path / "p.yaml")])
    assert answer.exit_code == 0, answer.output
    with pytest.raises(ConfigError, match="precision: the profile was measured with bfloat16"):
        load_lines(load_detector(ModelSection(device="cpu"), [section]), [section])


def test_inspect_takes_a_memory(tmp_path):
    memory = remember(tmp_path / "m", range(2))
    write_profile(tmp_path, memory=memory.id, fusion=FUSION)
    cv2.imwrite(str(tmp_path / "a.png"), unit_of_the_line(9))
    arguments = ["inspect", str(tmp_path / "a.png"), "--device", "cpu", "--profile", str(tmp_path / "p.yaml"), "--json"]
    answer = CliRunner().invoke(app, [*arguments, "--memory", str(tmp_path / "m")])
    assert answer.exit_code == 0, answer.output
    assert 0 < json.loads(answer.stdout)["margin"] < 2
    assert isinstance(CliRunner().invoke(app, arguments).exception, ConfigError)


def test_what_is_no_file_is_answered_at_once_and_no_name_reads_as_a_verdict(tmp_path):
    fifo, strange = tmp_path / "pipe.png", tmp_path / "a\nok z 0.1 b.png"
    os.mkfifo(fifo)
    strange.write_bytes(b"nothing")
    detector = load_detector(ModelSection(device="cpu"))
    answers = list(inspect_files(detector, None, [fifo, strange, tmp_path / "none.png", tmp_path], None))
    assert [answer.reason for answer in answers] == ["not_a_file", "not_an_image", "missing", "not_a_file"]
    assert all(answer.verdict == "rejected" for answer in answers)
    assert all("\n" not in answer.text() for answer in answers)
    assert "a\\nok z" in answers[1].text()
