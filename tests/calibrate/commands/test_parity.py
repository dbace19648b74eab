"""`calibrate parity` on real files: a profile for an export, which the agent then takes, and refusals."""

import json

import pytest
from typer.testing import CliRunner

from agent.config.line import LineSection
from agent.config.sections import ModelSection
from agent.pipeline.detector_loading import load_detector
from agent.pipeline.line_loading import load_line
from calibrate.cli import app as calibrate
from calibrate.embedded.samples.files import write_calibration
from calibrate.errors import RefusedError
from fbclip.artefacts.profile_file import load_profile, save_profile
from fbclip.cli import app as fbclip
from fbclip.engines.export_manifest import read_export
from fbclip.errors import ConfigError
from tests.factories.lines import ENDLESS

# 30 % at 80 % confidence takes 5 units for the threshold and 10 for the scale.
TARGET = ["--false-alarm", "0.3", "--confidence", "0.8", "--line", "inbox"]


def run(app, *arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=True)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Images, the profile that torch was measured with, and an export of the embedded model."""
    folder = tmp_path_factory.mktemp("work")
    write_calibration(folder / "images", "inbox", 16)
    made = run(calibrate, "threshold", folder / "images", "--out", folder / "torch.yaml", "--device", "cpu", *TARGET)
    assert made.exit_code == 0, made.output
    made = run(fbclip, "export", "--format", "onnx", "--out", folder / "export")
    assert made.exit_code == 0, made.output
    return folder


def parity(work, *more, profile="torch.yaml", data="images"):
    exported = ["--runtime", "onnxruntime", "--export", work / "export"]
    return run(calibrate, "parity", work / profile, work / data, *exported, "--device", "cpu", *more)


def test_another_runtime_gets_a_profile_of_its_own_that_the_agent_takes(work, tmp_path):
    out = tmp_path / "onnx.yaml"
    answer = parity(work, "--out", out, "--json")
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert found["agrees"]
    assert found["margin_max"] <= 1e-3
    assert found["map_max"] <= 1e-3
    assert (found["mask_flips"], found["flips"]) == (0, 0)
    # The old threshold is z of a unit itself, so that rounding alone may lift that one above it.
    assert found["flips_at_old"] <= 1
    assert found["flips_low"] == 0 < found["flips_high"] < 0.3
    assert found["mask_tokens"] == 16 * 3 * 256

    old, new = load_profile(work / "torch.yaml").profile, load_profile(out).profile
    assert (new.runtime, new.precision, new.export) == ("onnxruntime", "float32", read_export(work / "export").id)
    assert new.threshold == pytest.approx(old.threshold, abs=1e-2)
    assert new.calibration.guarantee == old.calibration.guarantee
    assert new.calibration.data_sha256 == old.calibration.data_sha256
    # Fewer are painted inside a test than in its fixture.
    assert [row.found / row.total for row in new.sees.sizes] == [row.found / row.total for row in old.sees.sizes]

    model = ModelSection(device="cpu", runtime="onnxruntime", export=work / "export", threads=2)
    section = LineSection(name="inbox", source=ENDLESS, profile=out, mode="shadow")
    detector = load_detector(model, [section])
    assert load_line(detector, section).profile_id == new.id
    wrong = section.model_copy(update={"profile": work / "torch.yaml"})
    with pytest.raises(ConfigError, match=r"runtime: the profile was measured with torch, .*calibrate parity"):
        load_line(detector, wrong)


def test_what_cannot_be_compared_is_refused(work, tmp_path):
    write_calibration(tmp_path / "others", "inbox", 17)
    answer = parity(work, data=tmp_path / "others")
    assert isinstance(answer.exception, RefusedError)
    assert "not the images that the profile was calibrated on" in str(answer.exception)

    known = load_profile(work / "torch.yaml").profile
    by_hand = known.model_copy(
        update={"calibration": known.calibration.model_copy(update={"method": "manual", "guarantee": None})}
    )
    save_profile(by_hand, work / "hand.yaml")
    answer = parity(work, profile="hand.yaml")
    assert isinstance(answer.exception, RefusedError)
    assert "set by hand" in str(answer.exception)

    text = (work / "torch.yaml").read_text()
    (work / "edited.yaml").write_text(text.replace("min_area_px: 64", "min_area_px: 65"))
    assert (work / "edited.yaml").read_text() != text
    answer = parity(work, profile="edited.yaml")
    assert "was edited" in str(answer.exception)

    for arguments in (["--runtime", "openvino"], ["--runtime", "torch", "--precision", "int8"]):
        answer = run(calibrate, "parity", work / "torch.yaml", work / "images", "--device", "cpu", *arguments)
        assert isinstance(answer.exception, ConfigError)
        assert "fbclip export" in str(answer.exception)
    answer = parity(work, "--out", work / "torch.yaml")
    assert "name another file" in str(answer.exception)
