"""A line from images to what the agent loads: whole or not at all, and resumable. With a tiny model."""

import hashlib
from functools import partial

import cv2
import pytest
from typer.testing import CliRunner

import calibrate.line.run as line_run
from calibrate.cli import app
from calibrate.commands.options import ModelOptions
from calibrate.errors import RefusedError
from fbclip.artefacts.profile_file import load_profile
from fbclip.memory.bank import load_memory
from fbclip.memory.features import MemoryConfig
from tests.factories.lines import anomalous_unit, unit_of_the_line
from tests.factories.models import tiny_detector

# 30 % at 80 % confidence takes 5 units for the threshold, 10 for the scale and 10 for the memory.
TARGET = ["--false-alarm", "0.3", "--confidence", "0.8"]


def small(image):
    return cv2.resize(image, (96, 96), interpolation=cv2.INTER_AREA)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """The tiny backbone and its own features instead of the embedded model and its network."""

    def opened(_, memories=(), profiles=()):
        return tiny_detector([load_memory(folder) for folder in memories])

    monkeypatch.setattr(ModelOptions, "open", opened)
    monkeypatch.setattr(line_run, "default_config", lambda _: MemoryConfig(layers=(1, 2), features="backbone"))
    monkeypatch.setattr(line_run, "default_tokens", lambda _: 64)


@pytest.fixture
def base(tmp_path):
    for folder in ("data/good", "data/bad"):
        (tmp_path / folder).mkdir(parents=True)
    for seed in range(28):
        cv2.imwrite(str(tmp_path / f"data/good/{seed}.png"), small(unit_of_the_line(seed)))
    for seed in range(3):
        cv2.imwrite(str(tmp_path / f"data/bad/{seed}.png"), small(anomalous_unit(100 + seed)))
    (tmp_path / "agent.yaml").write_text(
        "lines: [{name: belt, profile: p/belt.yaml, memory: m/belt, source: {type: folder, path: in}}]"
    )
    return tmp_path


def line(base, *more):
    arguments = ["line", base / "data", "--config", base / "agent.yaml", "--line", "belt", *TARGET, *more]
    return CliRunner().invoke(app, [str(a) for a in arguments])


def contents(base):
    files = [f for folder in ("p", "m") for f in sorted((base / folder).rglob("*")) if f.is_file()]
    return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_all_is_made_and_the_plan_comes_first(base):
    answer = line(base)
    assert answer.exit_code == 0, answer.output
    said = answer.output
    assert said.index("28 normal units: 10 for the memory, 10 for the scale") < said.index("takes about")
    assert "evaluated on 2 normal units and 3 anomalous units" in said
    assert "agent ctl reload" in said
    profile = load_profile(base / "p/belt.yaml").profile
    assert profile.calibration.guarantee.false_alarm_rate == 0.3
    assert profile.calibration.independence is not None
    assert profile.memory is None or load_memory(base / "m/belt").id == profile.memory
    assert (base / "calibration/belt/run/report.html").is_file()
    assert (base / "calibration/belt/run/evaluation.json").is_file()


def test_where_no_file_is_named_the_lines_to_paste_are_printed(base):
    (base / "agent.yaml").write_text("lines: [{name: belt, mode: learning, source: {type: folder, path: in}}]")
    answer = line(base, "--out", str(base / "o"), "--roi", "0,0,1,0.9")
    assert answer.exit_code == 0, answer.output
    assert "    profile: o/belt.yaml" in answer.output
    assert load_profile(base / "o/belt.yaml").profile.roi.y2 == 0.9


def test_the_region_of_the_present_profile_is_kept(base):
    assert line(base, "--roi", "0,0,1,0.9").exit_code == 0
    again = line(base, "--dry-run")
    assert "0.9" in again.output
    (base / "p/belt.yaml").write_text("{}")
    assert "would be lost" in str(line(base, "--dry-run").exception)


def test_a_dry_run_writes_nothing(base):
    answer = line(base, "--dry-run")
    assert answer.exit_code == 0, answer.output
    assert "nothing was written" in answer.output
    assert {p.name for p in base.iterdir()} == {"data", "agent.yaml"}


def test_too_few_units_say_what_to_do(base):
    answer = line(base, "--false-alarm", "0.01")
    assert isinstance(answer.exception, RefusedError)
    assert "--best-effort" in str(answer.exception)


def test_interrupted_the_old_files_stay_and_the_memory_is_kept(base, monkeypatch):
    assert line(base).exit_code == 0
    before, old = contents(base), load_profile(base / "p/belt.yaml").profile

    def interrupt(step, *_, **__):
        raise KeyboardInterrupt(step)

    for step in ("make_profile", "run_evaluation", "_replace_folder"):
        with monkeypatch.context() as patch:
            patch.setattr(line_run, step, partial(interrupt, step))
            answer = line(base)
        assert answer.exit_code != 0 or (step == "_replace_folder" and old.memory is None)
        assert "the memory of these images is there already" in answer.output
        assert answer.exit_code == 0 or contents(base) == before
    assert line(base).exit_code == 0


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text(name)
    with monkeypatch.context() as patch:
        patch.setattr(line_run.shutil, "copytree", lambda *_: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            line_run._replace_folder(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b" / "x").read_text() == "b"
    line_run._replace_folder(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b" / "x").read_text() == "a"
    assert {p.name for p in tmp_path.iterdir()} == {"a", "b"}
