"""A memory in `calibrate threshold`: what is fused is what the agent fuses, and no picture serves twice."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from calibrate.commands.few_shot import few_shot
from calibrate.commands.memory import memory
from calibrate.commands.threshold import threshold
from calibrate.datasets import read_data
from calibrate.errors import DataError, RefusedError
from calibrate.line_data import LineData
from calibrate.memory import fewshot, showing
from calibrate.memory.evidence import Judged, Shown, judge
from calibrate.memory.fewshot import MEASURES, METHODS, Point
from calibrate.memory.fewshot_text import average, table
from calibrate.memory.fusing import choose_fusion, fused, term_scales
from calibrate.memory.lines import Line, write_line
from calibrate.memory.provenance import seen_by
from calibrate.memory.sharing import leave_out
from calibrate.memory.showing import Viewer, fit_fusion
from calibrate.scoring import score
from calibrate.splits import split_units
from calibrate.synthesis.sample_files import write_calibration
from fbclip.decision import combined_statistic
from fbclip.detector import open_detector
from fbclip.errors import ConfigError
from fbclip.framing import Framing
from fbclip.fusion import Terms
from fbclip.memory import load_memory
from fbclip.profile import load_profile

WISH = ["--false-alarm", "0.3", "--confidence", "0.8", "--line", "inbox"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """8 units for the memory and 16 for the threshold."""
    folder = tmp_path_factory.mktemp("good")
    write_calibration(folder, "inbox", 24)
    return folder


@pytest.fixture(scope="module")
def remembered(pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("memory") / "m"
    answer = run("memory", pictures, "--out", out, "--units", "8", "--tokens", 256)
    assert answer.exit_code == 0, answer.output
    return out


def run(*arguments):
    app = typer.Typer()
    for name, command in (("memory", memory), ("threshold", threshold), ("few-shot", few_shot)):
        app.command(name)(command)
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=True)


def shown(unit, defective, margin, distance):
    plain = np.zeros((4, 4), np.float32)
    return Shown(unit, defective, Terms(margin, plain + np.float32(margin), distance, plain + np.float32(distance)))


def crowd(margin_gap, distance_gap, n=60):
    """Good and painted pictures of n units whose two opinions differ by these many spreads."""
    rng = np.random.default_rng(1)
    good = [shown(f"u{k}", False, rng.normal(), 1 + 0.1 * rng.normal()) for k in range(n)]
    return good, good + [
        shown(f"u{k}", True, rng.normal() + margin_gap, 1 + 0.1 * (rng.normal() + distance_gap)) for k in range(n)
    ]


@pytest.mark.parametrize(
    ("gaps", "use"), [((-9, 2), "memory"), ((4, 0), "zero-shot"), ((1.5, 1.5), "fused"), ((9, 9), "fused")]
)
def test_the_better_opinion_wins_and_both_in_doubt(gaps, use):
    good, everyone = crowd(*gaps)
    scales = term_scales(good, 1)
    fusion = choose_fusion(scales, lambda: everyone, "auto", 1, False).fusion
    assert ("zero-shot" if fusion is None else fusion.use) == use
    assert choose_fusion(scales, lambda: everyone, "fused", 1, False).fusion == fused(scales)
    assert choose_fusion(scales, lambda: everyone, "memory", 1, False).fusion == scales
    assert choose_fusion(scales, lambda: everyone, "zero-shot", 1, False).fusion is None


def test_scales_are_median_and_upper_spread_of_good_pictures():
    good, _ = crowd(0, 0)
    scales = term_scales(good, 1)
    margins = np.array([one.terms.margin for one in good])
    assert scales.zero_shot_image.centre == pytest.approx(np.median(margins))
    assert scales.zero_shot_image.spread == pytest.approx(np.quantile(margins, 0.9) - np.median(margins))
    assert (fused(scales).image_share, fused(scales).map_share) == (1.0, 0.5)
    with pytest.raises(RefusedError, match="no good units"):
        term_scales([], 1)
    with pytest.raises(RefusedError, match="paint"):
        judge({"zero-shot": None}, good, 1, False)


def test_in_doubt_both_opinions_are_used_then_the_memory():
    def best(zero_shot, memory, both, *errors):
        uses = ("zero-shot", "memory", "fused")
        return Judged(
            dict(zip(uses, (zero_shot, memory, both), strict=True)), dict(zip(uses, errors, strict=True)), 9, 9
        ).best

    assert best(0.92, 0.7, 0.9, 0, 0.05, 0.03) == "fused"
    assert best(0.92, 0.7, 0.9, 0, 0.05, 0.01) == "zero-shot"
    assert best(0.92, 0.9, 0.8, 0, 0.03, 0.01) == "memory"
    assert best(0.7, 0.9, 0.91, 0.01, 0.05, 0) == "fused"


def test_profile_fuses_what_it_was_measured_with(pictures, remembered, tmp_path):
    out = tmp_path / "p.yaml"
    answer = run("threshold", pictures, "--out", out, *WISH, "--memory", remembered, "--use", "fused")
    assert answer.exit_code == 0, answer.output
    assert "8 good units were seen by the memory" in answer.stderr
    assert "evidence: fused, as asked for" in answer.stderr
    profile, made = load_profile(out).profile, load_memory(remembered)
    assert profile.memory == made.id
    assert profile.fusion.use == "fused"
    assert (profile.calibration.n_good, profile.calibration.n_constants) == (6, 10)

    # The threshold is the largest z of the units that neither the memory nor the scale has seen.
    detector = open_detector("embedded", device="cpu", memories=(remembered,))
    rest = [s for s in read_data(pictures).good() if s.sha256 not in seen_by(made)]
    _, used = split_units(rest, 10)
    scored = score(
        detector, profile.adapter, used, load_profile(out).framing, lambda _: None, None, made.id, profile.fusion
    )
    z = [combined_statistic(s.evidence, profile.statistic, profile.min_area_px) for s in scored]
    assert max(z) == pytest.approx(profile.threshold, abs=1e-3)


def test_auto_chooses_the_same_again_and_zero_shot_needs_no_memory(pictures, remembered, tmp_path, monkeypatch):
    detector = open_detector("embedded", device="cpu", memories=(remembered,))
    viewer = Viewer(detector, detector.adapters[0], detector.memories[0], Framing())
    scale = read_data(pictures).good()[-6:]
    monkeypatch.setattr(showing, "PAINTED_EACH", 2)
    first, second = (fit_fusion(viewer, scale, "auto", 64, False) for _ in range(2))
    assert first == second
    assert (first.judged.n_good, first.judged.n_painted) == (6, 12)
    monkeypatch.setattr(showing, "MAX_PAINTED", 3)
    assert len(list(viewer.painted(scale))) == 3
    out = tmp_path / "z.yaml"
    answer = run("threshold", pictures, "--out", out, *WISH, "--memory", remembered, "--use", "zero-shot")
    assert answer.exit_code == 0
    assert (load_profile(out).profile.memory, load_profile(out).profile.fusion) == (None, None)


def test_memory_that_cannot_be_used_is_refused(pictures, remembered, tmp_path):
    out = tmp_path / "p.yaml"
    answer = run("threshold", pictures, "--out", out, *WISH, "--use", "memory")
    assert isinstance(answer.exception, ConfigError)
    assert "needs --memory" in str(answer.exception)
    answer = run("threshold", pictures, "--out", out, *WISH, "--memory", remembered, "--roi", "0,0,0.5,1")
    assert "--roi" in str(answer.exception)
    everything = tmp_path / "all"
    run("memory", pictures, "--out", everything, "--tokens", 64)
    answer = run("threshold", pictures, "--out", out, *WISH, "--memory", everything)
    assert isinstance(answer.exception, RefusedError)
    assert "--units 40%" in str(answer.exception)
    assert not out.exists()


def test_a_unit_of_which_the_memory_saw_one_picture_is_left_out_whole(pictures):
    samples = read_data(pictures, unit_from=r"unit_000(\d)").good()
    data = leave_out(LineData(tuple(samples), (), ()), {samples[0].sha256}, "m")
    assert samples[0].unit not in {s.unit for s in data.good}
    assert len(data.good) < len(samples) - 1
    assert leave_out(data, {samples[0].sha256}, "m") is data


def test_few_shot_curves_of_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(fewshot, "PAINTED_EACH", 1)
    root = write_line(Line("sheet", "leather", 50), tmp_path, 10, 4, 4)
    answer = run("few-shot", root, "--seeds", 2, "--json")
    assert answer.exit_code == 0, answer.output
    rows = json.loads(answer.stdout)["sheet_leather"]
    assert [(row["pictures"], row["seed"]) for row in rows] == [(1, 0), (1, 1), (2, 0)]
    for row in rows:
        assert set(row["auroc"]) == {"zero-shot", "memory", "fused", "chosen"}
        assert all(0 <= value <= 1 for found in row["auroc"].values() for value in found.values())
    assert rows[0]["auroc"]["zero-shot"] == rows[-1]["auroc"]["zero-shot"]
    assert rows[-1]["auroc"]["memory"]["image"] > 0.7
    (tmp_path / "flat").mkdir()
    picture = next((root / "train" / "good").iterdir())
    (tmp_path / "flat" / "a.png").write_bytes(picture.read_bytes())
    assert isinstance(run("few-shot", tmp_path / "flat").exception, DataError)
    assert isinstance(run("few-shot").exception, ConfigError)


def test_tables_tell_mean_and_range():
    def point(count, seed, value):
        return Point(
            count, seed, "memory", {(m, k): value if k == "image" else None for m in METHODS for k in MEASURES}
        )

    curves = {"a": [point(1, 0, 0.5), point(1, 1, 0.7), point(3, 0, 0.9)], "b": [point(1, 0, 1.0), point(2, 0, 1.0)]}
    shown = table("a", curves["a"], 3)
    assert "| 1 | 2 | 0.600 (0.500..0.700) |" in shown
    assert "| 3 (all) | 1 | 0.900 |" in shown
    assert "pixels" not in shown
    assert "| 1 | 0.800 |" in average(curves)
    assert "| 2 |" not in average(curves)
