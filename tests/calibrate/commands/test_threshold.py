"""`calibrate threshold` on real files with the embedded model, and `agent inspect` with what it wrote."""

import hashlib
import json
import shutil
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from agent.cli import app as agent
from calibrate.cli import app as calibrate
from calibrate.datasets import read_data
from calibrate.datasets.sample import data_sha256
from calibrate.datasets.units import split_units
from calibrate.embedded.samples.files import write_calibration, write_png
from calibrate.embedded.samples.products import SAMPLE_DEFECTS, inbox_part
from calibrate.errors import DataError, RefusedError
from calibrate.threshold.operating_point import InfeasibleError
from fbclip.artefacts.adapter import load_adapter, save_adapter
from fbclip.artefacts.profile_file import load_profile, save_profile
from fbclip.backbone.weights import EMBEDDED_DIR
from fbclip.errors import ConfigError, ProfileError

# 30 % at 80 % confidence takes 5 units for the threshold and 10 for the scale.
TARGET = ["--false-alarm", "0.3", "--confidence", "0.8", "--line", "inbox"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    write_calibration(folder, "inbox", 16)
    return folder


@pytest.fixture(scope="module")
def labelled(images, tmp_path_factory):
    """16 normal images and 8 anomalous ones, each a unit."""
    folder = tmp_path_factory.mktemp("labelled")
    shutil.copytree(images / "good", folder / "good")
    (folder / "bad").mkdir()
    for k in range(8):
        write_png(folder / "bad" / f"{k}.png", inbox_part(300_000 + k, SAMPLE_DEFECTS[k % 4]).image)
    return folder


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def run(app, *arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=True)


def test_profile_is_written_and_judges_as_it_was_measured(images, tmp_path):
    out = tmp_path / "inbox.yaml"
    answer = run(calibrate, "threshold", images, "--out", out, *TARGET, "--json")
    assert answer.exit_code == 0, answer.output
    profile = load_profile(out).profile
    assert json.loads(answer.stdout)["id"] == profile.id
    c = profile.calibration
    assert (c.n_good, c.n_constants, c.exceedances) == (6, 10, 0)
    assert (c.guarantee.false_alarm_rate, c.guarantee.confidence) == (0.3, 0.8)
    assert profile.uncertain_above <= profile.threshold

    # The same images through the agent's code: at most the allowed ones alarm, and z is the calibrated z.
    judged = run(agent, "inspect", images / "good", "--profile", out, "--json")
    rows = [json.loads(line) for line in judged.stdout.splitlines()]
    samples = read_data(images).normal()
    _, used = split_units(samples, c.n_constants)
    names = {str(s.path) for s in used}
    z = [row["z"] for row in rows if row["path"] in names]
    assert len(z) == 6
    # Rows of other batches differ by rounding only.
    assert max(z) == pytest.approx(profile.threshold, abs=1e-3)

    again = tmp_path / "again.yaml"
    run(calibrate, "threshold", images, "--out", again, *TARGET)
    assert load_profile(again).profile.threshold == profile.threshold
    copy = tmp_path / "copy.yaml"
    save_profile(profile, copy)
    assert load_profile(copy).profile.id == profile.id


def test_too_few_are_refused_and_best_effort_claims_nothing(images, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted((images / "good").iterdir())[:14]:
        shutil.copy(path, few)
    out = tmp_path / "p.yaml"
    answer = run(calibrate, "threshold", few, "--out", out, *TARGET)
    assert isinstance(answer.exception, RefusedError)
    assert "15 are needed" in str(answer.exception)
    assert not out.exists()
    answer = run(calibrate, "threshold", few, "--out", out, *TARGET, "--best-effort")
    assert answer.exit_code == 0
    assert "guarantee: none" in answer.stdout
    assert load_profile(out).profile.calibration.guarantee is None


def test_units_come_from_names_and_copies_count_once(images, tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    for number, path in enumerate(sorted((images / "good").iterdir())):
        shutil.copy(path, folder / f"part{number // 4}_{number % 4}.png")
        shutil.copy(path, folder / f"part{number // 4}_{number % 4}_copy.png")
    samples = read_data(folder, unit_from=r"part(\d+)").normal()
    assert len(samples) == 16
    assert {s.unit for s in samples} == {"all/0", "all/1", "all/2", "all/3"}
    first, rest = split_units(samples, 1)
    assert len(first) == 4
    assert not {s.unit for s in first} & {s.unit for s in rest}
    assert data_sha256(samples) == data_sha256(list(reversed(samples)))
    answer = run(calibrate, "threshold", folder, "--out", tmp_path / "p.yaml", *TARGET, "--unit-from", r"part(\d+)")
    assert "4 normal units cannot carry" in str(answer.exception)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [("broken.png", b"no image", "not_an_image"), ("empty.png", b"", "empty"), ("cut.jpg", b"\xff\xd8\xff", "trunc")],
)
def test_images_that_cannot_be_judged_are_listed(images, tmp_path, name, content, says):
    folder = tmp_path / "mixed"
    shutil.copytree(images / "good", folder)
    (folder / name).write_bytes(content)
    out = tmp_path / "p.yaml"
    answer = run(calibrate, "threshold", folder, "--out", out, *TARGET)
    assert isinstance(answer.exception, DataError)
    assert name in str(answer.exception)
    assert says in str(answer.exception)
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (["nowhere", "--line", "a", "--out", "p"], DataError, "no such folder"),
        ([".", "--line", "A b", "--out", "p"], ConfigError, "--line"),
        ([".", "--line", "a", "--out", "p", "--roi", "0.5,0,0.4,1"], ConfigError, "--roi"),
        ([".", "--line", "a", "--out", "p", "--unit-from", "("], DataError, "regular expression"),
        ([".", "--line", "a", "--out", "p", "--false-alarm", "2"], RefusedError, "--false-alarm"),
    ],
)
def test_wrong_usage_is_named(arguments, error, says, tmp_path, monkeypatch, images):
    monkeypatch.chdir(images)
    answer = run(calibrate, "threshold", *arguments)
    assert isinstance(answer.exception, error), answer.exception
    assert says in str(answer.exception)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("schema: fbclip.profile/1", "schema: other/1", "schema"),
        ("threshold: ", "threshold: .nan #", "threshold"),
        ("min_area_px: 64", "min_area_px: 0", "min_area_px"),
        ("line: inbox", "line: inbox\nextra: 1", "extra"),
    ],
)
def test_a_damaged_profile_is_refused_by_field(images, tmp_path, old, new, says):
    out = tmp_path / "p.yaml"
    assert run(calibrate, "threshold", images, "--out", out, *TARGET).exit_code == 0
    out.write_text(out.read_text().replace(old, new, 1))
    with pytest.raises(ProfileError, match=says):
        load_profile(out)


def test_inspect_without_a_profile_scores_but_does_not_judge(images):
    answer = run(agent, "inspect", sorted((images / "good").iterdir())[0], "--json")
    row = json.loads(answer.stdout)
    assert (row["verdict"], row["reason"], row["threshold"]) == ("uncertain", "no_profile", None)
    assert row["margin"] is not None


# 75 % recall at 80 % confidence takes 6 anomalous units.
def test_recall_is_guaranteed_beside_the_false_alarm_rate(labelled, tmp_path):
    out = tmp_path / "p.yaml"
    answer = run(calibrate, "threshold", labelled, "--out", out, *TARGET, "--recall", "0.75")
    assert answer.exit_code == 0, answer.output
    assert "at most 30% of normal units" in answer.stdout
    assert "at least 75% of anomalous units" in answer.stdout
    c = load_profile(out).profile.calibration
    assert (c.method, c.n_good, c.n_bad, c.n_constants, c.recall_target) == ("recall", 6, 8, 10, 0.75)
    assert (c.recall_guarantee.recall, c.recall_guarantee.confidence) == (0.75, 0.8)
    assert c.guarantee.false_alarm_rate == 0.3
    low, high = c.interval
    assert low <= load_profile(out).profile.threshold <= high
    assert f"from z = {low:.4f} to {high:.4f}" in answer.stdout
    judged = run(agent, "inspect", labelled / "bad", "--profile", out, "--json")
    verdicts = [json.loads(line)["verdict"] for line in judged.stdout.splitlines()]
    assert verdicts.count("anomaly") >= 7
    assert len(c.reference) == 6
    assert list(c.reference) == sorted(c.reference)


def test_too_few_defects_are_refused_and_best_effort_drops_that_promise_only(labelled, tmp_path):
    out = tmp_path / "p.yaml"
    answer = run(calibrate, "threshold", labelled, "--out", out, *TARGET, "--recall", "0.9")
    assert isinstance(answer.exception, RefusedError)
    assert "16 are needed; these carry 81.8%" in str(answer.exception)
    assert not out.exists()
    answer = run(calibrate, "threshold", labelled, "--out", out, *TARGET, "--recall", "0.9", "--best-effort")
    assert answer.exit_code == 0, answer.output
    assert "recall guarantee: none" in answer.stdout
    c = load_profile(out).profile.calibration
    assert c.guarantee is not None
    assert c.recall_guarantee is None


@pytest.mark.parametrize("as_json", [False, True])
def test_bounds_that_cross_are_refused_with_the_curve(labelled, tmp_path, as_json):
    """Normal images named defective: no threshold tells them apart."""
    folder = tmp_path / "alike"
    shutil.copytree(labelled / "good", folder / "good")
    (folder / "bad").mkdir()
    for k in range(8):
        write_png(folder / "bad" / f"{k}.png", inbox_part(400_000 + k).image)
    out = tmp_path / "p.yaml"
    options = ["--recall", "0.75", *(["--json"] if as_json else [])]
    answer = run(calibrate, "threshold", folder, "--out", out, *TARGET, *options)
    assert isinstance(answer.exception, InfeasibleError)
    assert not out.exists()
    if as_json:
        curve = json.loads(answer.stdout)["curve"]
        assert set(curve[0]) == {"threshold", "false_alarm_rate", "recall"}
    else:
        assert "false alarms <=" in answer.stdout


def test_f1_measures_on_the_other_half(labelled, tmp_path):
    out = tmp_path / "p.yaml"
    answer = run(calibrate, "threshold", labelled, "--out", out, "--line", "inbox", "--f1")
    assert answer.exit_code == 0, answer.output
    assert "guarantee: none" in answer.stdout
    c = load_profile(out).profile.calibration
    assert (c.method, c.guarantee, c.recall_guarantee) == ("f1", None, None)
    assert (c.measured.n_good, c.measured.n_bad) == (4, 4)
    assert (c.n_good, c.n_bad, c.n_constants) == (8, 8, 8)


def test_a_given_threshold_is_kept_and_measured(labelled, tmp_path):
    out = tmp_path / "p.yaml"
    answer = run(calibrate, "threshold", labelled, "--out", out, "--line", "inbox", "--threshold", "-2.5")
    assert answer.exit_code == 0, answer.output
    profile = load_profile(out).profile
    assert (profile.threshold, profile.uncertain_above) == (-2.5, -2.5)
    m = profile.calibration.measured
    assert (m.n_good, m.false_alarms, m.n_bad, m.misses) == (8, 8, 8, 0)
    assert profile.calibration.method == "manual"


def test_uncertain_verdicts_can_be_bounded_too(images, tmp_path):
    out = tmp_path / "p.yaml"
    answer = run(calibrate, "threshold", images, "--out", out, *TARGET, "--alert-on-uncertain")
    assert "alarm or are uncertain" in answer.stdout
    assert load_profile(out).profile.calibration.bounds == "uncertain"


def test_the_normal_images_of_train_are_used_and_those_of_test_are_not(images, tmp_path):
    normals = sorted((images / "good").iterdir())
    for split, part in (("train", normals[:15]), ("test", normals[15:])):
        folder = tmp_path / "part" / split / "good"
        folder.mkdir(parents=True)
        for path in part:
            shutil.copy(path, folder)
    answer = run(calibrate, "threshold", tmp_path / "part", "--out", tmp_path / "p.yaml", *TARGET)
    assert answer.exit_code == 0, answer.output
    assert "1 normal images outside of train are left for evaluation" in answer.stderr
    assert load_profile(tmp_path / "p.yaml").profile.calibration.n_good == 5


def test_several_classes_have_to_be_told_apart(images, tmp_path):
    one = sorted((images / "good").iterdir())
    for k, name in enumerate(("bolt", "nut")):
        for split in ("train", "test"):
            (tmp_path / "set" / name / split / "good").mkdir(parents=True)
        shutil.copy(one[k], tmp_path / "set" / name / "train" / "good")
        shutil.copy(one[k + 2], tmp_path / "set" / name / "test" / "good")
    arguments = ["threshold", tmp_path / "set", "--out", tmp_path / "p.yaml", *TARGET]
    answer = run(calibrate, *arguments)
    assert isinstance(answer.exception, ConfigError)
    assert "--class: bolt, nut" in str(answer.exception)
    answer = run(calibrate, *arguments, "--class", "screw")
    assert "bolt, nut" in str(answer.exception)
    answer = run(calibrate, *arguments, "--class", "nut")
    assert "1 normal units cannot carry" in str(answer.exception)


def test_images_that_something_else_was_fitted_to_are_refused(images, tmp_path):
    one = sorted((images / "good").iterdir())[3]
    (tmp_path / "tuned").mkdir()
    shutil.copy(one, tmp_path / "tuned" / "another_name.png")
    out = tmp_path / "p.yaml"
    answer = run(calibrate, "threshold", images, "--out", out, *TARGET, "--not", tmp_path / "tuned")
    assert isinstance(answer.exception, DataError)
    assert one.name in str(answer.exception)
    embedded = load_adapter(EMBEDDED_DIR / "adapter")
    digests = [s.sha256 for s in read_data(tmp_path / "tuned").samples]
    manifest = embedded.manifest.model_copy(update={"provenance": {"pictures": digests}})
    save_adapter(replace(embedded, manifest=manifest, bound=None), tmp_path / "adapter")
    answer = run(calibrate, "threshold", images, "--out", out, *TARGET, "--adapter", tmp_path / "adapter")
    assert isinstance(answer.exception, DataError)
    assert "was tuned on" in str(answer.exception)
    assert not out.exists()


def test_the_same_image_normal_and_anomalous_is_refused(labelled, tmp_path):
    folder = tmp_path / "both"
    shutil.copytree(labelled, folder)
    shutil.copy(sorted((folder / "good").iterdir())[0], folder / "bad" / "x.png")
    answer = run(calibrate, "threshold", folder, "--out", tmp_path / "p.yaml", *TARGET, "--recall", "0.75")
    assert isinstance(answer.exception, DataError)
    assert "same image" in str(answer.exception)


def test_unusable_images_are_left_out_only_while_enough_remain(images, tmp_path):
    folder = tmp_path / "mixed"
    shutil.copytree(images / "good", folder)
    # By its name it falls to the threshold, which has a unit to spare; the scale has none.
    name = next(n for n in map("{}.png".format, range(99)) if digest(n) > "e")
    (folder / name).write_bytes(b"no image")
    out = tmp_path / "p.yaml"
    answer = run(calibrate, "threshold", folder, "--out", out, *TARGET, "--skip-bad")
    assert answer.exit_code == 0, answer.output
    assert f"left out: {name}" in answer.stderr
    for path in sorted(folder.glob("unit*"))[:5]:
        path.write_bytes(path.name.encode())
    out.unlink()
    answer = run(calibrate, "threshold", folder, "--out", out, *TARGET, "--skip-bad")
    assert isinstance(answer.exception, RefusedError)
    assert "normal units of the guarantee" in str(answer.exception)
    assert not out.exists()


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_profile_and_no_rest(images, tmp_path, monkeypatch, fault):
    out = tmp_path / "p.yaml"
    assert run(calibrate, "threshold", images, "--out", out, *TARGET).exit_code == 0
    before, files = out.read_bytes(), sorted(p for p in tmp_path.rglob("*") if p.is_file())

    def fail(_):
        raise fault

    monkeypatch.setattr("fbclip.files.os.fsync", fail)
    answer = run(calibrate, "threshold", images, "--out", out, *TARGET, "--best-effort")
    assert answer.exit_code != 0
    assert out.read_bytes() == before
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == files


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--recall", "0.9", "--f1"], "exclude each other"),
        (["--threshold", "1", "--f1"], "exclude each other"),
        (["--recall", "1.5"], "--recall must lie between"),
        (["--threshold", "nan"], "finite"),
        (["--threshold", "1e39"], "finite"),
        (["--alert-on-uncertain", "--uncertain", "0.4"], "leave it out"),
        (["--alert-on-uncertain", "--f1"], "do not give"),
        (["--layout", "odd"], "--layout"),
    ],
)
def test_options_that_contradict_are_wrong_usage(images, tmp_path, options, says):
    answer = run(calibrate, "threshold", images, "--out", tmp_path / "p.yaml", *TARGET, *options)
    assert isinstance(answer.exception, ConfigError), answer.exception
    assert says in str(answer.exception)
