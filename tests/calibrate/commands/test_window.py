"""A threshold belongs to the window that it was measured with: 12 bits in files of 16, from calibration to verdict."""

import json

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from agent.cli import app as agent
from calibrate.cli import app as calibrate
from calibrate.embedded.samples.products import inbox_part
from fbclip.artefacts.profile_file import load_profile

TARGET = ["--false-alarm", "0.3", "--confidence", "0.8", "--line", "inbox"]


def run(app, *arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def write(folder, name, image, scale):
    folder.mkdir(parents=True, exist_ok=True)
    deep = image if scale == 1 else np.rint(image * scale).astype(np.uint16)
    assert cv2.imwrite(str(folder / name), deep[..., ::-1])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same 16 parts as 8 bits and as 12 bits in 16, and one more of each."""
    root = tmp_path_factory.mktemp("deep")
    for k in range(17):
        image = inbox_part(100_000 + k).image
        for name, scale in (("plain", 1), ("deep", 4095 / 255)):
            write(root / name / "good" if k < 16 else root / f"{name}_next", f"{k}.png", image, scale)
    return root


def test_twelve_bits_are_judged_as_eight_are_through_their_window(files, tmp_path):
    out = {}
    for name, options in (("plain", []), ("deep", ["--window", "0,4095"])):
        answer = run(calibrate, "threshold", files / name, "--out", tmp_path / f"{name}.yaml", *TARGET, *options)
        assert answer.exit_code == 0 and "too dark" not in answer.output, answer.output
        out[name] = load_profile(tmp_path / f"{name}.yaml").profile
    assert (out["plain"].window, out["deep"].window) == ("dicom", (0.0, 4095.0))
    assert out["deep"].threshold == pytest.approx(out["plain"].threshold, abs=1e-4)
    z = {}
    for name in out:
        answer = run(agent, "inspect", files / f"{name}_next", "--profile", tmp_path / f"{name}.yaml", "--json")
        (line,) = map(json.loads, answer.stdout.splitlines())
        assert line["verdict"] == "ok"
        z[name] = line["z"]
    assert z["deep"] == pytest.approx(z["plain"], abs=1e-4)
    # Without its window the same good part is 16 times too dark; through it, 8 bits would be.
    dark = run(agent, "inspect", files / "deep_next", "--profile", tmp_path / "plain.yaml", "--json")
    assert abs(json.loads(dark.stdout)["z"] - z["plain"]) > 0.05
    shallow = run(agent, "inspect", files / "plain_next", "--profile", tmp_path / "deep.yaml", "--json")
    assert json.loads(shallow.stdout)["reason"] == "wrong_depth"


def test_bits_that_are_never_used_are_told_of(files, tmp_path):
    answer = run(calibrate, "threshold", files / "deep", "--out", tmp_path / "p.yaml", *TARGET)
    assert "the images use 12 of their 16 bits" in answer.stderr and "add --window 0,4095" in answer.stderr


@pytest.mark.parametrize("window", ["wide", "5", "9,1", "0,inf", "1,2,3"])
def test_a_window_that_is_none_is_one_line(files, tmp_path, window):
    answer = run(calibrate, "threshold", files / "deep", "--out", tmp_path / "p.yaml", *TARGET, "--window", window)
    assert "must be dicom, full, percentile, or LOW,HIGH" in str(answer.exception or answer.output)
    assert not (tmp_path / "p.yaml").exists()


def test_a_memory_belongs_to_its_window(files, tmp_path):
    made = run(calibrate, "memory", files / "deep", "--out", tmp_path / "m", "--units", "4", "--window", "0,4095",
               "--features", "backbone")  # fmt: skip
    assert made.exit_code == 0, made.output
    answer = run(
        calibrate, "threshold", files / "deep", "--out", tmp_path / "p.yaml", *TARGET, "--memory", tmp_path / "m"
    )
    assert "--window" in str(answer.exception or answer.output)
