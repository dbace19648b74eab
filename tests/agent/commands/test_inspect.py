"""`agent inspect` runs with what the profile was measured with."""

import json
import os

import cv2
import numpy as np
import pytest
import torch
from pydicom.uid import ComprehensiveSRStorage
from typer.testing import CliRunner

from agent.cli import app
from agent.commands.inspect import expand, inspect_files
from agent.config.line import LineSection
from agent.config.sections import ModelSection
from agent.pipeline.detector_loading import load_detector
from fbclip.artefacts.profile_file import save_profile
from fbclip.errors import ConfigError
from tests.factories.lines import ENDLESS, FUSION, a_profile, load_lines, remember, unit_of_the_line, write_profile
from tests.factories.scans import a_dicom, blob


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


def test_grey_deep_and_tiny_images_and_features_that_are_no_numbers_have_a_verdict_or_a_reason(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    files = {
        "grey": rng.integers(0, 256, (90, 120), dtype=np.uint8),
        "deep": rng.integers(0, 65536, (90, 120), dtype=np.uint16),
        "tiny": rng.integers(0, 256, (1, 1, 3), dtype=np.uint8),
        "small": rng.integers(0, 256, (8, 8, 3), dtype=np.uint8),
    }
    paths = [tmp_path / f"{name}.png" for name in files]
    for path, image in zip(paths, files.values(), strict=True):
        cv2.imwrite(str(path), image)
    detector = load_detector(ModelSection(device="cpu"))
    answers = list(inspect_files(detector, None, paths, None))
    assert [answer.verdict for answer in answers[:2]] == ["uncertain"] * 2
    assert [answer.reason for answer in answers[2:]] == ["too_small", "too_small"]
    strides = {8: torch.full((1, 1024, 48), torch.nan), 16: torch.zeros(1, 1024, 120)}
    monkeypatch.setattr(detector._engine, "_imagenet", lambda _: strides)
    (answer,) = inspect_files(detector, None, paths[:1], None)
    assert (answer.verdict, answer.reason) == ("rejected", "non_finite")


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


def test_scans_of_a_folder_are_found_by_content_and_reports_are_skipped(tmp_path):
    detector = load_detector(ModelSection(device="cpu"))
    (tmp_path / "IM0001").write_bytes(a_dicom(blob(3)))
    (tmp_path / "IM0002").write_bytes(a_dicom(blob(1)[0], SOPClassUID=ComprehensiveSRStorage))
    (tmp_path / "notes").write_bytes(b"no image")
    paths = expand([tmp_path])
    assert [path.name for path in paths] == ["IM0001", "IM0002"]
    volume, report = inspect_files(detector, None, paths, None)
    assert (volume.verdict, volume.reason) == ("uncertain", "no_profile")
    assert (report.verdict, report.reason, report.passed) == ("skipped", "no_image_object", True)
