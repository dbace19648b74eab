"""How a memory counts: the better opinion wins, both in doubt, and the choice repeats."""

import numpy as np
import pytest

from calibrate.datasets.reader import read_data
from calibrate.errors import RefusedError
from calibrate.inference import Skips, View
from calibrate.memory import fusion_choice
from calibrate.memory.build import MemoryRequest, build_memory
from calibrate.memory.fusion_choice import choose_fusion, fit_fusion, fused, painted_samples, term_scales
from calibrate.memory.fusion_scores import FusionSample, FusionScores, compare_fusions
from fbclip.backbone.config import EMBEDDED
from fbclip.detector import open_detector
from fbclip.memory.bank import save_memory
from fbclip.memory.features import default_config
from fbclip.memory.fusion import Terms


def fusion_sample(unit, anomalous, margin, distance):
    plain = np.zeros((4, 4), np.float32)
    return FusionSample(
        unit, anomalous, Terms(margin, plain + np.float32(margin), distance, plain + np.float32(distance))
    )


def crowd(margin_gap, distance_gap, n=60):
    """Normal and painted images of n units whose two opinions differ by these many spreads."""
    rng = np.random.default_rng(1)
    normal = [fusion_sample(f"u{k}", False, rng.normal(), 1 + 0.1 * rng.normal()) for k in range(n)]
    return normal, normal + [
        fusion_sample(f"u{k}", True, rng.normal() + margin_gap, 1 + 0.1 * (rng.normal() + distance_gap))
        for k in range(n)
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
        compare_fusions({"zero-shot": None}, normal, 1, False)


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


def test_auto_chooses_the_same_again(detector, normal, tmp_path, monkeypatch):
    samples = read_data(normal).normal()
    request = MemoryRequest(default_config(EMBEDDED), 256)
    save_memory(build_memory(detector, samples[:6], request, Skips()).memory, tmp_path / "m")
    remembering = open_detector("embedded", device="cpu", memories=(tmp_path / "m",))
    view = View(remembering, remembering.adapters[0], memory=remembering.memories[0])
    scale = samples[-6:]
    monkeypatch.setattr(fusion_choice, "PAINTED_EACH", 2)
    first, second = (fit_fusion(view, scale, "auto", 64, False) for _ in range(2))
    assert first == second
    assert (first.scores.n_normal, first.scores.n_painted) == (6, 12)
    kept = first.record
    assert (kept.chosen, kept.n_good, kept.n_painted) == (first.scores.best, 6, 12)
    assert (kept.auroc, kept.error) == (first.scores.auroc, first.scores.error)
    monkeypatch.setattr(fusion_choice, "MAX_PAINTED", 3)
    assert len(list(painted_samples(view, scale))) == 3
