"""A run's folder: its files, the worst images, and that it is whole or left alone."""

import csv
import json
from dataclasses import replace

import cv2
import pytest

from calibrate.datasets import read_data
from calibrate.errors import DataError
from calibrate.evaluation.document import read_evaluation
from calibrate.evaluation.evaluated_images import read_images
from calibrate.evaluation.folder import replace_folder
from calibrate.evaluation.run import EvaluationRun, public_command, run_evaluation
from calibrate.evaluation.worst import pick_worst
from calibrate.report.reading import read_run
from fbclip.artefacts.profile_file import LoadedProfile
from tests.factories.evaluations import evaluated, noisy_image, profile_for, save_image


def written(detector, root, out, profile=None, count=2):
    loaded = None if profile is None else LoadedProfile(profile)
    return run_evaluation(EvaluationRun(read_data(root), out, lambda memories: detector, profile=loaded, worst=count))


def test_the_worst_images_are_drawn(detector, root, tmp_path):
    save_image(root / "bolt/test/good/wide.png", noisy_image(3, (900, 300)))
    worst = written(detector, root, tmp_path / "run").worst
    found = evaluated(detector, root)
    alarms = [w for w in worst if w.kind == "false_alarm"]
    misses = [w for w in worst if w.kind == "miss"]
    assert [w.file for w in alarms] == ["worst/01_false_alarm.jpg", "worst/02_false_alarm.jpg"]
    normal = sorted((image.margin for image in found.images if not image.anomalous), reverse=True)
    anomalous = sorted(image.margin for image in found.images if image.anomalous)
    assert [w.score for w in alarms] == normal[:2]
    assert [w.score for w in misses] == anomalous[:2]
    for w in worst:
        assert cv2.imread(str(tmp_path / "run" / w.file)).shape[1] <= 640
        assert (root / w.path).is_file()
    # With a profile only what is a false alarm or a miss by it.
    calm = evaluated(detector, root, profile=LoadedProfile(profile_for(detector, threshold=1e6)))
    assert {kind for kind, _, _ in pick_worst(calm, 3)} == {"miss"}


def test_the_folder_is_whole_or_left_alone(detector, root, tmp_path, monkeypatch):
    out = tmp_path / "run"
    document = written(detector, root, out, profile_for(detector))
    stored = json.loads((out / "evaluation.json").read_text())
    assert stored == json.loads(json.dumps(document.as_json()))
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
    profile = profile_for(detector)
    document = written(detector, root, tmp_path / "run", profile)
    found = evaluated(detector, root, profile=LoadedProfile(profile))
    with (tmp_path / "run" / "samples.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(r["margin"]) for r in rows] == [r.margin for r in found.images]
    assert [float(r["z"]) for r in rows] == [r.z for r in found.images]
    with (tmp_path / "run" / "metrics.csv").open(newline="") as stream:
        metrics = {r["class"]: r for r in csv.DictReader(stream)}
    assert metrics["nut"]["image_auroc"] == ""
    assert float(metrics["mean"]["pixel_aupro"]) == found.document.mean.pixel_aupro
    assert "| nut | n/a |" in (tmp_path / "run" / "summary.md").read_text()
    read = read_run(tmp_path / "run")
    assert read.evaluation.data.normal == document.data.normal == 8
    assert read.evaluation.classes["bolt"].pixel_aupro == found.document.classes["bolt"].pixel_aupro
    assert all(image.jpeg for image in read.worst)


def test_what_is_written_reads_back_the_same(detector, root, tmp_path):
    out = tmp_path / "run"
    document = written(detector, root, out, profile_for(detector))
    assert read_evaluation(out) == document
    stored = json.loads((out / "evaluation.json").read_text())
    assert stored["data"]["n_good"] == document.data.normal
    assert set(stored["confusion"]) == {"units", "pictures", "false_alarm_rate", "recall", "confidence"}
    assert list(stored["kinds"]["bolt"]["dent"]) == ["units", "ok", "uncertain", "anomaly", "rejected"]
    found = evaluated(detector, root, profile=LoadedProfile(profile_for(detector)))
    stored_images = tuple(replace(image, peak=None) for image in found.images)
    assert tuple(read_images(out / "samples.csv")) == stored_images


def test_no_folder_of_this_machine_is_shown(tmp_path):
    own = [str(tmp_path / "anna" / "x"), f"--out={tmp_path / 'run'}"]
    words = public_command(["calibrate", "evaluate", *own, "--layout", "mvtec", "a/b"])
    assert words == ("calibrate", "evaluate", "x", "--out=run", "--layout", "mvtec", "a/b")
