"""Volumes in an evaluation: one unit each, by its worst slice, as the agent judges them."""

from __future__ import annotations

import numpy as np
import pytest

from calibrate.datasets import read_data
from calibrate.datasets.slices import with_normal_slices, with_slices
from calibrate.errors import DataError
from calibrate.evaluation.run import EvaluationRun, run_evaluation
from calibrate.evaluation.worst import draw_worst, heat_limits
from calibrate.few_shot.run import FewShotRequest, run_few_shot
from calibrate.inference import View
from calibrate.metrics.ranking import auroc
from fbclip.artefacts.profile_file import LoadedProfile
from fbclip.decision import Verdict
from tests.factories.evaluations import evaluated, profile_for
from tests.factories.images import write_image
from tests.factories.scans import a_dicom, a_nifti, blob


@pytest.fixture
def volumes(tmp_path):
    """Three good and two bad volumes, one of them with empty ends, and a flat image of each label."""
    root = tmp_path / "scans"
    for label, seeds in (("good", range(3)), ("bad", range(3, 5))):
        (root / label).mkdir(parents=True)
        for seed in seeds:
            (root / label / f"{seed}.dcm").write_bytes(a_dicom(blob(4, 40, 40, seed=seed)))
        write_image(root / label / f"{label}.png")
    ends = blob(40, 40, 5, seed=9)
    ends[:, :, [0, 4]] = -200
    (root / "good" / "9.nii.gz").write_bytes(a_nifti(ends, packed=True))
    return root


def test_a_volume_is_one_image_with_the_margin_of_its_worst_slice(detector, volumes):
    found = evaluated(detector, volumes)
    samples = with_slices(read_data(volumes)).samples
    worst: dict[str, float] = {}
    for scored in View(detector, detector.adapters[0]).score(samples):
        if hasattr(scored, "prediction"):
            name = scored.sample.path.name
            worst[name] = max(scored.prediction.margin, worst.get(name, -np.inf))
    assert {image.path.split("/")[1]: image.margin for image in found.images} == pytest.approx(worst)
    assert len(found.images) == found.document.data.units == 8
    assert (found.document.data.normal, found.document.data.anomalous) == (5, 3)
    labels = np.array([image.anomalous for image in found.images])
    margins = np.array([image.margin for image in found.images])
    assert found.document.classes["all"].image_auroc == pytest.approx(auroc(margins, labels))
    assert "6 volumes count once each, by their worst slice" in " ".join(found.document.notes)
    assert found.document.classes["all"].pixel_auroc is None
    # The picture that is drawn is the worst slice's.
    drawn = {one.about.path for one in draw_worst(found, 8, heat_limits(found))}
    assert "good/9.nii.gz" in drawn and found.samples["good/9.nii.gz"].slice in {1, 2, 3}


def test_by_a_profile_a_volume_has_the_verdict_that_the_agent_gives(detector, volumes):
    verdicts = {}
    for threshold in (-1e9, 1e9):
        found = evaluated(detector, volumes, profile=LoadedProfile(profile_for(detector, threshold=threshold)))
        verdicts[threshold] = {image.verdict for image in found.images}
    assert verdicts == {-1e9: {Verdict.ANOMALY}, 1e9: {Verdict.OK}}


def test_a_damaged_volume_is_named_once_and_rejected(detector, volumes):
    data = (volumes / "good" / "0.dcm").read_bytes()
    (volumes / "good" / "0.dcm").write_bytes(data[:-500])
    with pytest.raises(DataError, match=r"1 images or masks cannot be used.*0\.dcm"):
        evaluated(detector, volumes)
    found = evaluated(detector, volumes, profile=LoadedProfile(profile_for(detector, threshold=1e9)), skip_bad=True)
    (bad,) = [image for image in found.images if image.path == "good/0.dcm"]
    assert bad.verdict is Verdict.REJECTED and bad.margin is None and bad.reason.startswith("truncated")


def test_the_whole_command_takes_volumes(detector, volumes, tmp_path):
    run = EvaluationRun(read_data(volumes), tmp_path / "run", lambda _: detector, worst=2)
    document = run_evaluation(run)
    assert document.data.units == 8 and len((tmp_path / "run" / "samples.csv").read_text().splitlines()) == 9


def test_tuning_takes_normal_volumes_and_refuses_anomalous_ones_with_the_way_out(volumes):
    data = read_data(volumes)
    with pytest.raises(DataError, match=r"2 anomalous volumes do not say which of their slices.*leave them out"):
        with_normal_slices(data)
    (volumes / "bad" / "3.dcm").unlink(), (volumes / "bad" / "4.dcm").unlink()
    samples = with_normal_slices(read_data(volumes)).samples
    assert sum(s.slice is not None for s in samples) == 3 * 4 + 5 and len({s.unit for s in samples}) == 6


def test_few_shot_refuses_volumes_and_names_the_way_out(detector, volumes):
    with pytest.raises(DataError, match=r"6 volumes, as .*calibrate memory"):
        run_few_shot(detector, FewShotRequest([volumes], 1, None, None), lambda _: None, lambda _: None)
