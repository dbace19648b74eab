"""`calibrate evaluate` on small real files: with a tiny random model, and once with the embedded one."""

import csv
import json
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest
import torch
import typer
from PIL import Image
from scipy.stats import binomtest
from typer.testing import CliRunner

from calibrate.commands.evaluate import evaluate as command
from calibrate.datasets import read_data
from calibrate.datasets.sample import data_sha256
from calibrate.embedded.samples.products import SAMPLE_DEFECTS, inbox_part
from calibrate.errors import DataError
from calibrate.evaluation.evaluate import evaluate
from calibrate.evaluation.folder import replace_folder
from calibrate.evaluation.masks import map_mask
from calibrate.evaluation.numbers import Numbers, mean_numbers
from calibrate.evaluation.paper import PaperMaps
from calibrate.evaluation.pixels import ClassPixels
from calibrate.evaluation.request import EvaluationRequest
from calibrate.evaluation.rows import EvaluatedImage
from calibrate.evaluation.run import Context, document, public_words, write_run
from calibrate.evaluation.verdicts import confusion, kinds
from calibrate.evaluation.worst import draw_worst, heat_limits, pick_worst
from calibrate.inference import View
from calibrate.metrics.ranking import auroc, average_precision, f1_max
from calibrate.metrics.regions import aupro_exact, aupro_paper
from calibrate.report.reading import read_run
from fbclip.artefacts.adapter import load_adapter, save_adapter
from fbclip.artefacts.profile import Calibration, Profile
from fbclip.artefacts.profile_file import LoadedProfile
from fbclip.backbone.weights import EMBEDDED_DIR
from fbclip.decision import Statistic
from fbclip.errors import ConfigError
from fbclip.images.framing import Framing
from fbclip.images.geometry import Placement, Roi
from fbclip.images.tiling import Tiling
from fbclip.method.maps import smooth_map

NAMES = {
    "image_auroc", "image_ap", "image_f1_max", "pixel_auroc", "pixel_ap", "pixel_f1_max", "pixel_aupro",
}  # fmt: skip


def image(seed, size=(48, 40)):
    """Noise with a shape in it, (H,W,3), size (width, height)."""
    rng = np.random.default_rng(seed)
    image = rng.integers(60, 120, (size[1], size[0], 3), dtype=np.uint8)
    image[5:20, 5 + seed % 9 : 30] += 90
    return image


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def box_mask(box=(10, 8, 30, 24), size=(48, 40)):
    mask = np.zeros((size[1], size[0]), np.uint8)
    x1, y1, x2, y2 = box
    mask[y1:y2, x1:x2] = 255
    return mask


@pytest.fixture
def root(tmp_path):
    """bolt: 5 good, 4 dented with masks, 2 cut, one of them without; nut: good only; pin: bad without masks."""
    root = tmp_path / "set"
    for k in range(5):
        save(root / "bolt/test/good" / f"{k}.png", image(k))
    for k in range(4):
        save(root / "bolt/test/dent" / f"{k}.png", image(10 + k))
        save(root / "bolt/ground_truth/dent" / f"{k}_mask.png", box_mask((4 * k, 8, 4 * k + 16, 24)))
    for k in range(2):
        save(root / "bolt/test/cut" / f"{k}.png", image(20 + k))
    save(root / "bolt/ground_truth/cut/0_mask.png", box_mask())
    for k in range(3):
        save(root / "nut/test/good" / f"{k}.png", image(30 + k))
        save(root / "pin/test/bent" / f"{k}.png", image(40 + k))
        save(root / "bolt/train/good" / f"{k}.png", image(50 + k))
        save(root / "nut/train/good" / f"{k}.png", image(60 + k))
        save(root / "pin/train/good" / f"{k}.png", image(70 + k))
    return root


def ignore_progress(_):
    pass


def judged(detector, root, **plan):
    return evaluate(detector, detector.adapters[0], read_data(root), EvaluationRequest(**plan), ignore_progress)


def profile_for(detector, threshold=0.0, digest="0" * 64, **changes):
    running = detector.running(detector.adapters[0])
    return Profile(
        line="bolts",
        created=datetime(2026, 1, 2, tzinfo=UTC),
        adapter=running.adapter,
        backbone=running.backbone,
        backbone_sha256=running.backbone_sha256,
        device=running.device,
        size=running.size,
        smoothing=detector.smoothing[running.adapter],
        min_area_px=4,
        statistic=Statistic(a=0, b=1, a2=0, b2=1),
        threshold=threshold,
        uncertain_above=threshold - 0.5,
        map_limits=(-1.0, 1.0),
        calibration=Calibration(
            method="order-statistic", unit="file", n_good=9, n_constants=9, target=0.1, confidence=0.9,
            guarantee=None, quantiles={}, data_sha256=digest,
        ),
        **changes,
    )  # fmt: skip


def test_numbers_are_those_of_all_maps_at_once(detector, root):
    found = judged(detector, root)
    assert set(found.classes) == {"bolt", "nut", "pin"}
    samples = [s for s in read_data(root).samples if s.class_name == "bolt" and s.split == "test"]
    looks = list(View(detector, detector.adapters[0]).score(samples))
    margins = np.array([s.prediction.margin for s in looks])
    labels = np.array([s.sample.label for s in looks])
    with_truth = [s for s in looks if not s.sample.label or s.sample.mask is not None]
    maps = np.stack([s.prediction.map for s in with_truth])
    masks = np.zeros(maps.shape, bool)
    for place, s in zip(masks, with_truth, strict=True):
        if s.sample.mask is not None:
            truth = Image.open(s.sample.mask).resize((32, 32), Image.Resampling.BILINEAR)
            place[:] = np.asarray(truth) / 255 > 0.5
    bolt = found.classes["bolt"]
    assert bolt.image_auroc == pytest.approx(auroc(margins, labels))
    assert bolt.image_ap == pytest.approx(average_precision(margins, labels))
    assert bolt.image_f1_max == pytest.approx(f1_max(margins, labels)[0])
    assert bolt.pixel_auroc == pytest.approx(auroc(maps, masks))
    assert bolt.pixel_ap == pytest.approx(average_precision(maps, masks))
    assert bolt.pixel_f1_max == pytest.approx(f1_max(maps, masks)[0])
    assert bolt.pixel_aupro == pytest.approx(aupro_exact(maps, masks))
    assert found.without_mask == 4
    assert len(found.rows) == 11 + 3 + 3


def test_what_is_undefined_is_none_and_no_zero(detector, root):
    found = judged(detector, root)
    assert found.classes["nut"] == Numbers()
    assert found.classes["pin"] == Numbers()
    assert found.mean == found.classes["bolt"]
    assert found.curves["nut"].roc == []
    assert found.confusion is None
    text = " ".join(found.notes)
    assert "nut: only normal images" in text
    assert "pin: only anomalous images" in text
    assert "4 anomalous images without a mask" in text
    assert mean_numbers([]) == Numbers()
    assert mean_numbers([Numbers(image_ap=0.5), Numbers(image_ap=1.0, pixel_ap=0.2), Numbers()]) == Numbers(
        image_ap=0.75, pixel_ap=0.2
    )


def test_splits_labels_and_empty_sets(detector, root, tmp_path):
    assert judged(detector, root).part == "test"
    train = judged(detector, root, part="train")
    assert {row.path.split("/")[1] for row in train.rows} == {"train"}
    assert train.mean == Numbers()
    plain = tmp_path / "plain"
    save(plain / "good" / "a.png", image(1))
    assert judged(detector, plain).part == "all"
    with pytest.raises(DataError, match="no images in the split test"):
        judged(detector, plain, part="test")


def test_masks_are_placed_like_the_image(tmp_path):
    save(tmp_path / "m.png", box_mask((24, 0, 48, 40)) // 255)
    whole = map_mask(tmp_path / "m.png", Placement(0, 0, 48, 40), (20, 24))
    assert whole[:, 12:].all()
    assert not whole[:, :12].any()
    right = map_mask(tmp_path / "m.png", Placement(24, 0, 24, 40), (8, 8))
    assert right.all()
    assert not map_mask(tmp_path / "m.png", Placement(0, 0, 24, 40), (8, 8)).any()
    save(tmp_path / "dot.png", box_mask((20, 20, 21, 21)))
    assert not map_mask(tmp_path / "dot.png", Placement(0, 0, 48, 40), (8, 8)).any()
    (tmp_path / "torn.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"torn\.png"):
        map_mask(tmp_path / "torn.png", Placement(0, 0, 48, 40), (8, 8))


def test_masks_that_vanish_are_counted(detector, root):
    save(root / "bolt/ground_truth/dent/0_mask.png", box_mask((20, 20, 21, 21)))
    found = judged(detector, root)
    assert found.empty_masks == 1
    assert "1 masks are empty on the map" in " ".join(found.notes)
    outside = judged(detector, root, framing=Framing(roi=Roi(x1=0.7, y1=0.6, x2=1, y2=1)))
    assert outside.empty_masks == 5
    assert outside.classes["bolt"].pixel_aupro is None


def test_a_mask_of_another_size_is_named(detector, root):
    save(root / "bolt/ground_truth/dent/1_mask.png", box_mask(size=(40, 48)))
    with pytest.raises(DataError, match=r"dent/1_mask\.png: 40x48"):
        judged(detector, root)
    found = judged(detector, root, skip_bad=True)
    assert "bolt/test/dent/1.png" not in {row.path for row in found.rows}
    assert found.skipped[0].startswith("bolt/ground_truth/dent/1_mask.png")


def test_ignored_pixels_do_not_count():
    rng = np.random.default_rng(4)
    values = rng.normal(size=(3, 24, 24)).astype(np.float32)
    masks = np.zeros(values.shape, bool)
    masks[0, 4:12, 2:20] = masks[1, 15:20, 3:9] = True
    ignore = np.zeros((24, 24), bool)
    ignore[:, 10:12] = True
    with ClassPixels() as store:
        for value, mask in zip(values, masks, strict=True):
            store.add(value, mask, ignore)
        found = store.numbers(False)
    kept = np.broadcast_to(~ignore, values.shape)
    assert found.auroc == pytest.approx(auroc(values[kept], masks[kept]))
    # Ignored columns part the first defect in two.
    regions = [values[0, 4:12, 2:10], values[0, 4:12, 12:20], values[1, 15:20, 3:9]]
    normal = values[kept & ~masks]
    levels = np.unique(values[kept])[::-1]
    rate = np.array([0.0, *((normal >= level).mean() for level in levels)])
    overlap = np.array([0.0, *(np.mean([(r >= level).mean() for r in regions]) for level in levels)])
    inside = rate < 0.3
    x = np.append(rate[inside], 0.3)
    y = np.append(overlap[inside], np.interp(0.3, rate, overlap))
    assert found.aupro == pytest.approx(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) / 0.3)
    with ClassPixels() as store:
        store.add(values[0], masks[0], np.zeros((24, 24), bool))
        unmasked = store.numbers(False)
    assert unmasked.aupro == pytest.approx(aupro_exact(values[:1], masks[:1]))


def test_paper_maps_are_probabilities_smoothed_on_the_grid_of_patches(detector, root):
    torch.manual_seed(0)
    grid = torch.randn(1, 37, 37) * 4
    smoothed = smooth_map(grid, 518, 4.0, 4.0)[0].numpy()
    expected = smooth_map(torch.sigmoid(grid), 518, 4.0, 4.0)[0].numpy()
    assert np.abs(PaperMaps(518, 14, 4.0).probabilities(smoothed) - expected).max() < 1e-5
    with pytest.raises(ConfigError, match="--paper"):
        PaperMaps(518, 14, 40.0)
    with pytest.raises(ConfigError, match="--paper"):
        PaperMaps(518, 14, 4.0).probabilities(np.random.default_rng(0).normal(size=(518, 518)).astype(np.float32))
    with pytest.raises(ConfigError, match="tiles"):
        judged(detector, root, paper=True, framing=Framing(tiling=Tiling(columns=2, rows=1)))
    found = judged(detector, root, paper=True)
    assert found.classes["bolt"].image_auroc == judged(detector, root).classes["bolt"].image_auroc
    with ClassPixels() as store:
        rng = np.random.default_rng(1)
        values, masks = rng.random((2, 16, 16), np.float32), np.zeros((2, 16, 16), bool)
        masks[0, 3:8, 3:8] = True
        for value, mask in zip(values, masks, strict=True):
            store.add(value, mask, None)
        assert store.numbers(True).aupro == pytest.approx(aupro_paper(values, masks))


def test_images_that_were_used_before_are_refused(detector, root):
    samples = [s for s in read_data(root).samples if s.split == "test"]
    with pytest.raises(DataError, match="2 of the images were used to make this adapter or memory"):
        judged(detector, root, seen={s.sha256 for s in samples[3:5]})
    every = [s for s in read_data(root).samples if s.class_name == "bolt"]
    train = [s for s in every if s.split == "train"]
    with_anomalous = train + [s for s in every if s.label]
    for used in (samples, [s for s in samples if s.label is False], with_anomalous):
        with pytest.raises(DataError, match="was set on these images"):
            judged(detector, root, profile=LoadedProfile(profile_for(detector, digest=data_sha256(used))))
    fair = LoadedProfile(profile_for(detector, digest=data_sha256(train)))
    assert judged(detector, root, profile=fair).confusion is not None
    with pytest.raises(DataError, match="3 of 9"):
        judged(detector, root, profile=fair, part="train")


def row(name, label, verdict, unit=None, kind=None, **more):
    return EvaluatedImage(name, more.pop("class_name", "all"), label, kind, unit or name, name, verdict=verdict, **more)


def test_verdicts_are_counted_in_units_with_exact_intervals():
    rows = [
        row("g1", False, "ok", "u1"),
        row("g2", False, "anomaly", "u1"),
        row("g3", False, "rejected", "u2"),
        row("g4", False, "uncertain", "u3"),
        row("g5", False, "ok", "u4"),
        row("b1", True, "ok", "u5", "dent"),
        row("b2", True, "anomaly", "u5", "dent"),
        row("b3", True, "ok", "u6", "cut"),
        row("b4", True, "uncertain", "u7"),
    ]
    found = confusion(rows)
    assert found.units["good"] == {"ok": 1, "uncertain": 1, "anomaly": 1, "rejected": 1}
    assert found.units["defective"] == {"ok": 1, "uncertain": 1, "anomaly": 1, "rejected": 0}
    assert found.pictures["good"] == {"ok": 2, "uncertain": 1, "anomaly": 1, "rejected": 1}
    for rate, k, n in ((found.false_alarm_rate, 1, 4), (found.recall, 1, 3)):
        exact = binomtest(k, n).proportion_ci(0.95, "exact")
        assert (rate.count, rate.total, rate.rate) == (k, n, k / n)
        assert (rate.low, rate.high) == pytest.approx((exact.low, exact.high))
    assert kinds(rows)["all"]["dent"] == {"units": 1, "ok": 0, "uncertain": 0, "anomaly": 1, "rejected": 0}
    assert set(kinds(rows)["all"]) == {"dent", "cut", "unnamed"}
    nothing = confusion([row("b", True, "ok")]).false_alarm_rate
    assert (nothing.rate, nothing.low, nothing.high) == (None, None, None)


def test_a_profile_judges_with_its_own_framing(detector, root):
    roi = Roi(x1=0, y1=0, x2=0.9, y2=1)
    profile = profile_for(detector, roi=roi)
    found = judged(detector, root, profile=LoadedProfile(profile))
    assert found.framing.roi == roi
    samples = [s for s in read_data(root).samples if s.split == "test"]
    by_path = {row.path: row for row in found.rows}
    for look in View(detector, detector.adapters[0], Framing(roi=roi)).score(samples):
        decision = profile.decide(look.prediction, look.placement)
        assert by_path[look.sample.path.relative_to(root).as_posix()].verdict == decision.verdict
    assert sum(sum(v.values()) for v in found.confusion.units.values()) == len(found.rows)
    assert "set on these" not in " ".join(found.notes)
    with pytest.raises(ConfigError, match="--roi"):
        judged(detector, root, profile=LoadedProfile(profile), framing=Framing(roi=roi))
    other = profile_for(detector).model_copy(update={"precision": "bfloat16", "device": "cuda"})
    with pytest.raises(ConfigError, match="precision"):
        judged(detector, root, profile=LoadedProfile(other))
    moved = profile_for(detector).model_copy(update={"device": "cuda"})
    assert "measured on cuda, this run on cpu" in " ".join(judged(detector, root, profile=LoadedProfile(moved)).notes)


def test_images_that_cannot_be_judged_are_listed(detector, root):
    (root / "bolt/test/good/torn.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"bolt/test/good/torn\.png: not_an_image"):
        judged(detector, root)
    (root / "bolt/test/good/torn.png").unlink()
    save(root / "bolt/test/cut/0.png", np.zeros((40, 48, 3), np.uint8))
    with pytest.raises(DataError, match=r"bolt/test/cut/0\.png \(black\)"):
        judged(detector, root)
    found = judged(detector, root, skip_bad=True, profile=LoadedProfile(profile_for(detector)))
    assert found.skipped == ("bolt/test/cut/0.png (black)",)
    rejected = next(row for row in found.rows if row.path == "bolt/test/cut/0.png")
    assert (rejected.verdict, rejected.margin, rejected.z) == ("rejected", None, None)
    assert found.confusion.units["defective"]["rejected"] == 1
    without = judged(detector, root, skip_bad=True)
    assert next(row for row in without.rows if row.path == "bolt/test/cut/0.png").verdict is None


def written(detector, root, out, profile=None, count=2):
    data = read_data(root)
    plan = EvaluationRequest(profile=None if profile is None else LoadedProfile(profile))
    found = evaluate(detector, detector.adapters[0], data, plan, ignore_progress)
    limits = heat_limits(found, None if profile is None else profile.map_limits)
    worst = list(draw_worst(detector, detector.adapters[0], found, count, limits))
    content = document(found, Context(data, profile, limits), worst)
    write_run(out, found, content, worst)
    return found, content


def test_the_worst_images_are_drawn(detector, root, tmp_path):
    save(root / "bolt/test/good/wide.png", image(3, (900, 300)))
    found, content = written(detector, root, tmp_path / "run")
    alarms = [w for w in content["worst"] if w["kind"] == "false_alarm"]
    misses = [w for w in content["worst"] if w["kind"] == "miss"]
    assert [w["file"] for w in alarms] == ["worst/01_false_alarm.jpg", "worst/02_false_alarm.jpg"]
    normal = sorted((row.margin for row in found.rows if not row.label), reverse=True)
    anomalous = sorted(row.margin for row in found.rows if row.label)
    assert [w["score"] for w in alarms] == normal[:2]
    assert [w["score"] for w in misses] == anomalous[:2]
    for w in content["worst"]:
        drawn = cv2.imread(str(tmp_path / "run" / w["file"]))
        assert drawn.shape[1] <= 640
        assert (root / w["path"]).is_file()
    # With a profile only what is a false alarm or a miss by it.
    highest = EvaluationRequest(profile=LoadedProfile(profile_for(detector, threshold=1e6)))
    calm = evaluate(detector, detector.adapters[0], read_data(root), highest, ignore_progress)
    assert {kind for kind, _, _ in pick_worst(calm, 3)} == {"miss"}


def test_the_folder_is_whole_or_left_alone(detector, root, tmp_path, monkeypatch):
    out = tmp_path / "run"
    _, content = written(detector, root, out, profile_for(detector))
    stored = json.loads((out / "evaluation.json").read_text())
    assert stored == json.loads(json.dumps(content))
    assert str(tmp_path) not in (out / "evaluation.json").read_text()
    (out / "report.html").write_text("page")
    written(detector, root, out, count=0)
    assert sorted(p.name for p in out.iterdir()) == ["evaluation.json", "metrics.csv", "samples.csv", "summary.md"]
    before = (out / "samples.csv").read_bytes()

    def fail(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr("calibrate.evaluation.folder.os.fsync", fail)
        replace_folder(out, {"evaluation.json": b"{}"})
    assert (out / "samples.csv").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "set"]
    (out / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match=r"mine\.txt"):
        replace_folder(out, {})
    with pytest.raises(DataError, match="no earlier run"):
        replace_folder(root, {})


def test_files_hold_what_the_evaluation_says(detector, root, tmp_path):
    found, content = written(detector, root, tmp_path / "run", profile_for(detector))
    with (tmp_path / "run" / "samples.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(r["margin"]) for r in rows] == [r.margin for r in found.rows]
    assert [float(r["z"]) for r in rows] == [r.z for r in found.rows]
    with (tmp_path / "run" / "metrics.csv").open(newline="") as stream:
        metrics = {r["class"]: r for r in csv.DictReader(stream)}
    assert metrics["nut"]["image_auroc"] == ""
    assert float(metrics["mean"]["pixel_aupro"]) == found.mean.pixel_aupro
    assert "| nut | n/a |" in (tmp_path / "run" / "summary.md").read_text()
    read = read_run(tmp_path / "run")
    assert read.evaluation.data.n_good == content["data"]["n_good"] == 8
    assert read.evaluation.classes["bolt"].pixel_aupro == found.classes["bolt"].pixel_aupro
    assert all(p.jpeg for p in read.images)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    root = tmp_path_factory.mktemp("parts") / "coupon"
    for k in range(4):
        scene = inbox_part(300_000 + k, SAMPLE_DEFECTS[k])
        save(root / "test/bad" / f"{k}.png", scene.image)
        save(root / "ground_truth/bad" / f"{k}_mask.png", scene.mask.astype(np.uint8) * 255)
        save(root / "test/good" / f"{k}.png", inbox_part(400_000 + k).image)
    return root


def run(*arguments):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_the_command_prints_classes_and_mean(parts, tmp_path):
    out = tmp_path / "run"
    answer = run(parts, "--out", out, "--json", "--worst", 1)
    assert answer.exit_code == 0, answer.output
    printed = json.loads(answer.stdout)
    assert printed == json.loads((out / "evaluation.json").read_text())
    assert set(printed["mean"]) == set(printed["classes"]["coupon"]) == NAMES
    assert printed["mean"]["image_auroc"] > 0.7
    assert printed["mean"]["pixel_auroc"] > 0.8
    assert printed["definition"] == "exact"
    paper = json.loads(run(parts, "--out", out, "--json", "--paper").stdout)
    assert paper["definition"] == "paper"
    assert paper["mean"]["image_auroc"] == printed["mean"]["image_auroc"]
    assert paper["mean"]["pixel_aupro"] != printed["mean"]["pixel_aupro"]
    assert "| coupon |" in run(parts, "--out", out).stdout


def test_the_command_guards_against_seen_images_and_full_folders(parts, tmp_path):
    embedded = load_adapter(EMBEDDED_DIR / "adapter")
    digests = [s.sha256 for s in read_data(parts).samples[:2]]
    manifest = embedded.manifest.model_copy(update={"provenance": {"pictures": digests}})
    save_adapter(type(embedded)(manifest, embedded.tensors, embedded.prototypes), tmp_path / "adapter")
    answer = run(parts, "--out", tmp_path / "run", "--adapter", tmp_path / "adapter")
    assert "2 of the images were used" in str(answer.exception)
    assert not (tmp_path / "run").exists()
    answer = run(parts, "--out", parts / "run")
    assert isinstance(answer.exception, ConfigError)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    answer = run(parts, "--out", tmp_path / "full")
    assert "no earlier run" in str(answer.exception)


def test_no_folder_of_this_machine_is_shown(tmp_path):
    own = [str(tmp_path / "anna" / "x"), f"--out={tmp_path / 'run'}"]
    words = public_words(["calibrate", "evaluate", *own, "--layout", "mvtec", "a/b"])
    assert words == ("calibrate", "evaluate", "x", "--out=run", "--layout", "mvtec", "a/b")
