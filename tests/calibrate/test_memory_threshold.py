"""A memory in `calibrate threshold`: what is fused is what the agent fuses, and no image serves twice."""

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from calibrate.commands.memory import memory
from calibrate.commands.threshold import threshold
from calibrate.datasets import read_data
from calibrate.datasets.line_data import LineData
from calibrate.datasets.splits import split_units
from calibrate.embedded.samples.files import write_calibration
from calibrate.errors import RefusedError
from calibrate.inference import Skips, View
from calibrate.memory import fusion_samples
from calibrate.memory.fusion_choice import choice_record, choose_fusion, fused, term_scales
from calibrate.memory.fusion_samples import fit_fusion, painted_samples
from calibrate.memory.fusion_selection import FusionSample, FusionScores, judge
from calibrate.memory.provenance import seen_by
from calibrate.memory.unit_allocation import leave_out
from fbclip.artefacts.profile_file import load_profile
from fbclip.decision import combined_statistic
from fbclip.detector import open_detector
from fbclip.errors import ConfigError, ProfileError
from fbclip.memory.bank import load_memory
from fbclip.memory.fusion import Terms

TARGET = ["--false-alarm", "0.3", "--confidence", "0.8", "--line", "inbox"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """8 units for the memory and 16 for the threshold."""
    folder = tmp_path_factory.mktemp("good")
    write_calibration(folder, "inbox", 24)
    return folder


@pytest.fixture(scope="module")
def remembered(images, tmp_path_factory):
    out = tmp_path_factory.mktemp("memory") / "m"
    answer = run("memory", images, "--out", out, "--units", "8", "--tokens", 256)
    assert answer.exit_code == 0, answer.output
    return out


def run(*arguments):
    app = typer.Typer()
    for name, command in (("memory", memory), ("threshold", threshold)):
        app.command(name)(command)
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=True)


def shown(unit, anomalous, margin, distance):
    plain = np.zeros((4, 4), np.float32)
    return FusionSample(
        unit, anomalous, Terms(margin, plain + np.float32(margin), distance, plain + np.float32(distance))
    )


def crowd(margin_gap, distance_gap, n=60):
    """Normal and painted images of n units whose two opinions differ by these many spreads."""
    rng = np.random.default_rng(1)
    normal = [shown(f"u{k}", False, rng.normal(), 1 + 0.1 * rng.normal()) for k in range(n)]
    return normal, normal + [
        shown(f"u{k}", True, rng.normal() + margin_gap, 1 + 0.1 * (rng.normal() + distance_gap)) for k in range(n)
    ]


@pytest.mark.parametrize(
    ("gaps", "use"), [((-9, 2), "memory"), ((4, 0), "zero-shot"), ((1.5, 1.5), "fused"), ((9, 9), "fused")]
)
def test_the_better_opinion_wins_and_both_in_doubt(gaps, use):
    normal, everyone = crowd(*gaps)
    scales = term_scales(normal, 1)
    fusion = choose_fusion(scales, lambda: everyone, "auto", 1, False).fusion
    assert ("zero-shot" if fusion is None else fusion.use) == use
    assert choose_fusion(scales, lambda: everyone, "fused", 1, False).fusion == fused(scales)
    assert choose_fusion(scales, lambda: everyone, "memory", 1, False).fusion == scales
    assert choose_fusion(scales, lambda: everyone, "zero-shot", 1, False).fusion is None


def test_scales_are_median_and_upper_spread_of_normal_images():
    normal, _ = crowd(0, 0)
    scales = term_scales(normal, 1)
    margins = np.array([one.terms.margin for one in normal])
    assert scales.zero_shot_image.centre == pytest.approx(np.median(margins))
    assert scales.zero_shot_image.spread == pytest.approx(np.quantile(margins, 0.9) - np.median(margins))
    assert (fused(scales).image_share, fused(scales).map_share) == (0.9, 0.9)
    with pytest.raises(RefusedError, match="no normal units"):
        term_scales([], 1)
    with pytest.raises(RefusedError, match="paint"):
        judge({"zero-shot": None}, normal, 1, False)


def test_in_doubt_both_opinions_are_used_then_the_memory():
    def best(zero_shot, memory, both, *errors):
        uses = ("zero-shot", "memory", "fused")
        return FusionScores(
            dict(zip(uses, (zero_shot, memory, both), strict=True)), dict(zip(uses, errors, strict=True)), 9, 9
        ).best

    assert best(0.92, 0.7, 0.9, 0, 0.05, 0.03) == "fused"
    assert best(0.92, 0.7, 0.9, 0, 0.05, 0.01) == "zero-shot"
    assert best(0.92, 0.9, 0.8, 0, 0.03, 0.01) == "memory"
    assert best(0.7, 0.9, 0.91, 0.01, 0.05, 0) == "fused"


def test_profile_fuses_what_it_was_measured_with(images, remembered, tmp_path):
    out = tmp_path / "p.yaml"
    answer = run("threshold", images, "--out", out, *TARGET, "--memory", remembered, "--use", "fused")
    assert answer.exit_code == 0, answer.output
    assert "8 normal units were seen by the memory" in answer.stderr
    assert "evidence: fused, as asked for" in answer.stderr
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


def test_auto_chooses_the_same_again_and_zero_shot_needs_no_memory(images, remembered, tmp_path, monkeypatch):
    detector = open_detector("embedded", device="cpu", memories=(remembered,))
    view = View(detector, detector.adapters[0], memory=detector.memories[0])
    scale = read_data(images).normal()[-6:]
    monkeypatch.setattr(fusion_samples, "PAINTED_EACH", 2)
    first, second = (fit_fusion(view, scale, "auto", 64, False) for _ in range(2))
    assert first == second
    assert (first.judged.n_good, first.judged.n_painted) == (6, 12)
    kept = choice_record(first)
    assert (kept.chosen, kept.n_good, kept.n_painted) == (first.judged.best, 6, 12)
    assert (kept.auroc, kept.error) == (first.judged.auroc, first.judged.error)
    monkeypatch.setattr(fusion_samples, "MAX_PAINTED", 3)
    assert len(list(painted_samples(view, scale))) == 3
    out = tmp_path / "z.yaml"
    answer = run("threshold", images, "--out", out, *TARGET, "--memory", remembered, "--use", "zero-shot")
    assert answer.exit_code == 0
    profile = load_profile(out).profile
    assert (profile.memory, profile.fusion, profile.fusion_choice) == (None, None, None)


def test_profile_keeps_what_its_fusion_was_chosen_by(images, remembered, tmp_path, monkeypatch):
    monkeypatch.setattr(fusion_samples, "MAX_PAINTED", 4)
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
    older = load_profile(out).profile
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


def test_a_unit_of_which_the_memory_saw_one_image_is_left_out_whole(images):
    samples = read_data(images, unit_from=r"unit_000(\d)").normal()
    data = leave_out(LineData(tuple(samples), (), ()), {samples[0].sha256}, "m")
    assert samples[0].unit not in {s.unit for s in data.normal}
    assert len(data.normal) < len(samples) - 1
    assert leave_out(data, {samples[0].sha256}, "m") is data
