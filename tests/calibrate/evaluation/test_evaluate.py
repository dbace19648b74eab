"""An evaluation with a tiny random model: numbers, what is left out, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from calibrate.datasets import read_data
from calibrate.datasets.sample import data_sha256
from calibrate.errors import DataError
from calibrate.evaluation.document import Numbers
from calibrate.evaluation.numbers import mean_numbers
from calibrate.inference import View
from calibrate.metrics.ranking import auroc, average_precision, f1_max
from calibrate.metrics.regions import aupro_exact
from fbclip.artefacts.profile_file import LoadedProfile
from fbclip.errors import ConfigError
from fbclip.images.framing import Framing
from fbclip.images.geometry import Roi
from tests.factories.evaluations import box_mask, evaluated, noisy_image, profile_for, save_image


def test_numbers_are_those_of_all_maps_at_once(detector, root):
    found = evaluated(detector, root)
    assert set(found.document.classes) == {"bolt", "nut", "pin"}
    samples = [s for s in read_data(root).samples if s.class_name == "bolt" and s.split == "test"]
    scored = list(View(detector, detector.adapters[0]).score(samples))
    margins = np.array([s.prediction.margin for s in scored])
    labels = np.array([s.sample.label for s in scored])
    with_truth = [s for s in scored if not s.sample.label or s.sample.mask is not None]
    maps = np.stack([s.prediction.map for s in with_truth])
    masks = np.zeros(maps.shape, bool)
    for place, s in zip(masks, with_truth, strict=True):
        if s.sample.mask is not None:
            truth = Image.open(s.sample.mask).resize((32, 32), Image.Resampling.BILINEAR)
            place[:] = np.asarray(truth) / 255 > 0.5
    bolt = found.document.classes["bolt"]
    assert bolt.image_auroc == pytest.approx(auroc(margins, labels))
    assert bolt.image_ap == pytest.approx(average_precision(margins, labels))
    assert bolt.image_f1_max == pytest.approx(f1_max(margins, labels)[0])
    assert bolt.pixel_auroc == pytest.approx(auroc(maps, masks))
    assert bolt.pixel_ap == pytest.approx(average_precision(maps, masks))
    assert bolt.pixel_f1_max == pytest.approx(f1_max(maps, masks)[0])
    assert bolt.pixel_aupro == pytest.approx(aupro_exact(maps, masks))
    assert found.document.data.without_mask == 4
    assert len(found.images) == 11 + 3 + 3


def test_what_is_undefined_is_none_and_no_zero(detector, root):
    found = evaluated(detector, root)
    assert found.document.classes["nut"] == Numbers()
    assert found.document.classes["pin"] == Numbers()
    assert found.document.mean == found.document.classes["bolt"]
    assert found.document.curves["nut"].roc == []
    assert found.document.confusion is None
    text = " ".join(found.document.notes)
    assert "nut: only normal images" in text
    assert "pin: only anomalous images" in text
    assert "4 anomalous images without a mask" in text
    assert mean_numbers([]) == Numbers()
    assert mean_numbers([Numbers(image_ap=0.5), Numbers(image_ap=1.0, pixel_ap=0.2), Numbers()]) == Numbers(
        image_ap=0.75, pixel_ap=0.2
    )


def test_splits_labels_and_empty_sets(detector, root, tmp_path):
    assert evaluated(detector, root).document.data.split == "test"
    train = evaluated(detector, root, part="train")
    assert {image.path.split("/")[1] for image in train.images} == {"train"}
    assert train.document.mean == Numbers()
    plain = tmp_path / "plain"
    save_image(plain / "good" / "a.png", noisy_image(1))
    assert evaluated(detector, plain).document.data.split == "all"
    with pytest.raises(DataError, match="no images in the split test"):
        evaluated(detector, plain, part="test")


def test_masks_that_vanish_are_counted(detector, root):
    save_image(root / "bolt/ground_truth/dent/0_mask.png", box_mask((20, 20, 21, 21)))
    found = evaluated(detector, root)
    assert found.document.data.empty_masks == 1
    assert "1 masks are empty on the map" in " ".join(found.document.notes)
    outside = evaluated(detector, root, framing=Framing(roi=Roi(x1=0.7, y1=0.6, x2=1, y2=1)))
    assert outside.document.data.empty_masks == 5
    assert outside.document.classes["bolt"].pixel_aupro is None


def test_a_mask_of_another_size_is_named(detector, root):
    save_image(root / "bolt/ground_truth/dent/1_mask.png", box_mask(size=(40, 48)))
    with pytest.raises(DataError, match=r"dent/1_mask\.png: 40x48"):
        evaluated(detector, root)
    found = evaluated(detector, root, skip_bad=True)
    assert "bolt/test/dent/1.png" not in {image.path for image in found.images}
    assert found.document.data.skipped[0].startswith("bolt/ground_truth/dent/1_mask.png")


def test_images_that_were_used_before_are_refused(detector, root):
    samples = [s for s in read_data(root).samples if s.split == "test"]
    with pytest.raises(DataError, match=r"adapter or memory as well \(2 of 17 images are\); evaluate on other ones"):
        evaluated(detector, root, made_with={s.sha256 for s in samples[3:5]})
    every = [s for s in read_data(root).samples if s.class_name == "bolt"]
    train = [s for s in every if s.split == "train"]
    with_anomalous = train + [s for s in every if s.label]
    for used in (samples, [s for s in samples if s.label is False], with_anomalous):
        with pytest.raises(DataError, match="was set on these images"):
            evaluated(detector, root, profile=LoadedProfile(profile_for(detector, digest=data_sha256(used))))
    fair = LoadedProfile(profile_for(detector, digest=data_sha256(train)))
    assert evaluated(detector, root, profile=fair).document.confusion is not None
    with pytest.raises(DataError, match="3 of 9"):
        evaluated(detector, root, profile=fair, part="train")


def test_a_profile_judges_with_its_own_framing(detector, root):
    roi = Roi(x1=0, y1=0, x2=0.9, y2=1)
    profile = profile_for(detector, roi=roi)
    found = evaluated(detector, root, profile=LoadedProfile(profile))
    assert found.view.framing.roi == roi
    samples = [s for s in read_data(root).samples if s.split == "test"]
    by_path = {image.path: image for image in found.images}
    for scored in View(detector, detector.adapters[0], Framing(roi=roi)).score(samples):
        decision = profile.decide(scored.prediction, scored.placement)
        assert by_path[scored.sample.path.relative_to(root).as_posix()].verdict == decision.verdict
    units = found.document.confusion.units
    assert units.normal.total + units.anomalous.total == len(found.images)
    assert "set on these" not in " ".join(found.document.notes)
    with pytest.raises(ConfigError, match="--roi"):
        evaluated(detector, root, profile=LoadedProfile(profile), framing=Framing(roi=roi))
    other = profile_for(detector).model_copy(update={"precision": "bfloat16", "device": "cuda"})
    with pytest.raises(ConfigError, match="precision"):
        evaluated(detector, root, profile=LoadedProfile(other))
    moved = profile_for(detector).model_copy(update={"device": "cuda"})
    notes = evaluated(detector, root, profile=LoadedProfile(moved)).document.notes
    assert "the profile was measured on cuda, this run on cpu" in notes


def test_images_that_cannot_be_judged_are_listed(detector, root):
    (root / "bolt/test/good/torn.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"bolt/test/good/torn\.png: not_an_image"):
        evaluated(detector, root)
    (root / "bolt/test/good/torn.png").unlink()
    save_image(root / "bolt/test/cut/0.png", np.zeros((40, 48, 3), np.uint8))
    with pytest.raises(DataError, match=r"bolt/test/cut/0\.png \(black\)"):
        evaluated(detector, root)
    found = evaluated(detector, root, skip_bad=True, profile=LoadedProfile(profile_for(detector)))
    assert found.document.data.skipped == ("bolt/test/cut/0.png (black)",)
    rejected = next(image for image in found.images if image.path == "bolt/test/cut/0.png")
    assert (rejected.verdict, rejected.margin, rejected.z) == ("rejected", None, None)
    assert found.document.confusion.units.anomalous.rejected == 1
    without = evaluated(detector, root, skip_bad=True)
    assert next(image for image in without.images if image.path == "bolt/test/cut/0.png").verdict is None
