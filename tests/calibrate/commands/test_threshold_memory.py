"""A memory in `calibrate threshold`: what is fused is what the agent fuses, and no image serves twice."""

import pytest
import typer
from typer.testing import CliRunner

from calibrate.commands.memory import memory
from calibrate.commands.threshold import threshold
from calibrate.datasets.leakage import seen_by
from calibrate.datasets.reader import read_data
from calibrate.datasets.units import split_units
from calibrate.embedded.samples.files import write_calibration
from calibrate.errors import RefusedError
from calibrate.inference import Skips, View
from calibrate.memory import fusion_choice
from fbclip.artefacts.profile_file import load_profile, read_profile
from fbclip.decision import combined_statistic
from fbclip.detector import open_detector
from fbclip.errors import ConfigError, ProfileError
from fbclip.memory.bank import load_memory

TARGET = ["--false-alarm", "0.3", "--confidence", "0.8", "--line", "inbox"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """8 units for the memory and 16 for the threshold."""
    folder = tmp_path_factory.mktemp("good")
    write_calibration(folder, "inbox", 24)
    return folder


@pytest.fixture(scope="module", params=["backbone", "imagenet"])
def remembered(request, images, tmp_path_factory):
    out = tmp_path_factory.mktemp("memory") / "m"
    answer = run("memory", images, "--out", out, "--units", "8", "--tokens", 256, "--features", request.param)
    assert answer.exit_code == 0, answer.output
    return out


def run(*arguments):
    app = typer.Typer()
    for name, command in (("memory", memory), ("threshold", threshold)):
        app.command(name)(command)
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=True)


def test_profile_fuses_what_it_was_measured_with(images, remembered, tmp_path):
    out = tmp_path / "p.yaml"
    answer = run("threshold", images, "--out", out, *TARGET, "--memory", remembered, "--use", "fused")
    assert answer.exit_code == 0, answer.output
    assert "8 normal units were seen by the memory" in answer.stderr
    assert "memory use: fused, as asked for" in answer.stderr
    profile, made = load_profile(out).profile, load_memory(remembered)
    assert profile.memory == made.id
    assert profile.fusion.use == "fused"
    assert (profile.calibration.n_good, profile.calibration.n_constants) == (6, 10)

    # The threshold is the largest z of the units that neither the memory nor the scale has seen.
    detector = open_detector("embedded", device="cpu", memories=(remembered,))
    rest = [s for s in read_data(images).normal() if s.sha256 not in seen_by(made)]
    _, used = split_units(rest, 10)
    view = View(detector, profile.adapter, load_profile(out).framing, made.id, profile.fusion)
    scored = Skips().rest(view.score(used))
    z = [combined_statistic(s.prediction, profile.statistic, profile.min_area_px) for s in scored]
    assert max(z) == pytest.approx(profile.threshold, abs=1e-3)


def test_zero_shot_needs_no_memory(images, remembered, tmp_path):
    out = tmp_path / "z.yaml"
    answer = run("threshold", images, "--out", out, *TARGET, "--memory", remembered, "--use", "zero-shot")
    assert answer.exit_code == 0
    profile = load_profile(out).profile
    assert (profile.memory, profile.fusion, profile.fusion_choice) == (None, None, None)


def test_profile_keeps_what_its_fusion_was_chosen_by(images, remembered, tmp_path, monkeypatch):
    monkeypatch.setattr(fusion_choice, "MAX_PAINTED", 4)
    out = tmp_path / "p.yaml"
    answer = run("threshold", images, "--out", out, *TARGET, "--memory", remembered)
    assert answer.exit_code == 0, answer.output
    profile = load_profile(out).profile
    kept = profile.fusion_choice
    assert (kept.n_good, kept.n_painted) == (10, 4)
    assert kept.chosen == ("zero-shot" if profile.fusion is None else profile.fusion.use)
    assert f"memory {kept.auroc['memory']:.3f}" in answer.stderr

    # A profile without it, as older ones are, loads and keeps its id; with it the id is another one.
    text = out.read_text()
    start, end = text.index("fusion_choice:"), text.index("backbone:")
    out.write_text(text[:start] + text[end:])
    older = read_profile(out).profile
    assert older.fusion_choice is None
    assert older.id == profile.model_copy(update={"fusion_choice": None}).id != profile.id
    out.write_text(text.replace("chosen: ", "chosen: more-", 1))
    with pytest.raises(ProfileError, match=r"fusion_choice\.chosen"):
        load_profile(out)


def test_memory_that_cannot_be_used_is_refused(images, remembered, tmp_path):
    out = tmp_path / "p.yaml"
    answer = run("threshold", images, "--out", out, *TARGET, "--use", "memory")
    assert isinstance(answer.exception, ConfigError)
    assert "needs --memory" in str(answer.exception)
    answer = run("threshold", images, "--out", out, *TARGET, "--memory", remembered, "--roi", "0,0,0.5,1")
    assert "--roi" in str(answer.exception)
    everything = tmp_path / "all"
    run("memory", images, "--out", everything, "--tokens", 64)
    answer = run("threshold", images, "--out", out, *TARGET, "--memory", everything)
    assert isinstance(answer.exception, RefusedError)
    assert "--units 40%" in str(answer.exception)
    assert not out.exists()
