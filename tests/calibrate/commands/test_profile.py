"""`calibrate profile`: one screen, differences, another threshold, versions and the way back."""

import json
import sys

import pytest
import yaml

from calibrate.cli import main as calibrate
from calibrate.profiles import history
from fbclip.artefacts.profile import Guarantee
from fbclip.artefacts.profile_file import load_profile, save_profile
from fbclip.artefacts.seal import Seal
from tests.factories.models import tiny_profile

Z = tuple(k / 100 for k in range(300))


@pytest.fixture
def path(tmp_path):
    calibration = tiny_profile().calibration.model_copy(
        update={
            "n_good": 300, "n_constants": 10, "target": 0.01, "confidence": 0.95, "reference": Z,
            "guarantee": Guarantee(false_alarm_rate=0.01, confidence=0.95), "quantiles": {"0": 0.0, "1": 2.99},
        }
    )  # fmt: skip
    save_profile(tiny_profile(threshold=2.99, calibration=calibration), tmp_path / "belt.yaml")
    return tmp_path / "belt.yaml"


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*words, code=0):
        monkeypatch.setattr(sys, "argv", ["calibrate", "profile", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            calibrate()
        out, err = capsys.readouterr()
        assert (ended.value.code or 0) == code, out + err
        return err if code == 2 or (code == 1 and not out) else out

    return run


def edit(path):
    path.write_text(path.read_text().replace("threshold: 2.99", "threshold: 100.0"))
    assert load_profile(path).seal is Seal.EDITED


def test_show_is_one_screen(run, path):
    text = run("show", path)
    assert len(text.splitlines()) <= 24
    assert "with 95% confidence at most 1% of normal units alarm" in text
    assert "sealed: as it was written" in text
    found = json.loads(run("show", path, "--json"))
    assert (found["seal"], found["promise"]) == ("sealed", "at most 1% of normal units alarm (95% sure)")
    edit(path)
    assert "none; the profile was edited" in run("show", path)
    assert json.loads(run("show", path, "--json"))["promise"] == "none (edited)"
    data = yaml.safe_load(path.read_text())
    data["threshold"] = 2.99
    path.write_text(yaml.safe_dump({k: v for k, v in data.items() if k != "seal"}))
    assert "(unsealed)" in run("show", path)


def test_a_threshold_is_set_with_what_can_be_promised_and_taken_back(run, path):
    before = load_profile(path).profile
    text = run("set-threshold", path, 2.495, "--by", "Ada", "--note", "scratches at 2.6")
    # 50 of 300 above: at most 20.6 % with 95 % confidence.
    assert "at most 20.6" in text
    assert "50 of 300 normal units lie above it" in text
    loaded = load_profile(path)
    assert loaded.seal is Seal.SEALED
    assert loaded.profile.threshold == pytest.approx(2.495)
    assert (loaded.changed.by, loaded.changed.note) == ("Ada", "scratches at 2.6")
    assert loaded.changed.what == "threshold 2.9900 -> 2.4950"

    run("set-threshold", path, "-1.5", "--by", "Bob")
    assert load_profile(path).promise == "none (by hand)"
    lines = run("history", path).splitlines()
    assert [line.split()[:2] for line in lines] == [["*", "3"], ["2", lines[1].split()[1]], ["1", lines[2].split()[1]]]
    assert "Bob" in lines[0] and "scratches at 2.6" in lines[1]

    run("rollback", path, "--by", "Ada", "--to", 1)
    again = load_profile(path)
    assert again.profile == before
    assert again.profile.id == before.id
    assert again.promise == "at most 1% of normal units alarm (95% sure)"
    assert again.changed.what == "back to version 1"
    assert [row["current"] for row in json.loads(run("history", path, "--json"))] == [False, False, False, True]
    # Without --to: the one before.
    run("rollback", path, "--by", "Ada")
    assert load_profile(path).profile.threshold == -1.5
    # Every version is a whole profile.
    for number in range(1, 6):
        assert load_profile(history.history_folder(path) / f"{number:04}.yaml").seal is Seal.SEALED


def test_an_edited_profile_is_not_washed_clean(run, path):
    edit(path)
    assert "was edited" in run("set-threshold", path, 2.0, "--by", "Ada", code=1)
    assert "no earlier version" in run("rollback", path, "--by", "Ada", code=1)
    # With a version from before the edit there is a way back, and the edited file is kept as such.
    path.write_text(path.read_text().replace("threshold: 100.0", "threshold: 2.99"))
    run("set-threshold", path, 2.99, "--by", "Ada")
    edit(path)
    run("rollback", path, "--by", "Ada", "--to", 1)
    assert load_profile(path).seal is Seal.SEALED
    assert [row["seal"] for row in json.loads(run("history", path, "--json"))] == [
        "sealed",
        "sealed",
        "edited",
        "sealed",
    ]
    assert "version 3 was edited" in run("rollback", path, "--by", "Ada", "--to", 3, code=1)
    assert "no readable version 77" in run("rollback", path, "--by", "Ada", "--to", 77, code=1)


def test_what_came_of_an_unsealed_profile_stays_unsealed(run, path):
    data = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({k: v for k, v in data.items() if k != "seal"}))
    run("set-threshold", path, 2.495, "--by", "Ada")
    assert load_profile(path).promise.endswith(" (unsealed)")


def test_diff_names_each_field(run, path, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_bytes(path.read_bytes())
    assert run("diff", path, other) == "the same\n"
    run("set-threshold", other, 2.495, "--by", "Ada")
    text = run("diff", path, other, code=1)
    assert "threshold: 2.99 -> 2.4949" in text
    assert "calibration.guarantee.false_alarm_rate: 0.01 -> 0.2" in text
    assert "changed.by: none -> Ada" in text
    assert "reference" not in text
    assert json.loads(run("diff", path, other, "--json", code=1))["calibration.method"] == ["order-statistic", "manual"]


def test_slips_are_one_line(run, path):
    for words in (("set-threshold", path, "nan", "--by", "Ada"), ("set-threshold", path, "1e40", "--by", "Ada")):
        assert "finite" in run(*words, code=1)
    for words in (
        ("set-threshold", path, 2.0), ("set-threshold", path, 2.0, "--by", " "),
        ("set-threshold", path, 2.0, "--by", "A\nB"), ("set-threshold", path, 2.0, "--by", "A" * 65),
        ("rollback", path, "--by", "Ada", "--to", 0),
    ):  # fmt: skip
        assert len(run(*words, code=2).splitlines()) == 1
    assert "no such profile" in run("show", path.with_name("none.yaml"), code=1)
    assert not history.history_folder(path).exists()


def test_the_history_is_bounded_and_survives_a_damaged_file(run, path, monkeypatch):
    monkeypatch.setattr(history, "MOST_VERSIONS", 3)
    for value in (2.1, 2.2, 2.3, 2.4):
        run("set-threshold", path, value, "--by", "Ada")
    folder = history.history_folder(path)
    assert sorted(file.name for file in folder.iterdir()) == ["0003.yaml", "0004.yaml", "0005.yaml"]
    (folder / "0004.yaml").write_text("no profile")
    assert "cannot be read" in run("history", path)
    run("rollback", path, "--by", "Ada")
    assert load_profile(path).profile.threshold == pytest.approx(2.2)


def test_a_version_whose_mask_is_gone_is_refused(run, path, tmp_path):
    from fbclip.artefacts.profile import IgnoreMask

    masked = load_profile(path).profile.model_copy(update={"ignore_mask": IgnoreMask(file="m.png", sha256="0" * 64)})
    save_profile(masked, path)
    run("set-threshold", path, 2.0, "--by", "Ada")
    assert "mask of version 1, m.png, is not there" in run("rollback", path, "--by", "Ada", code=1)


def test_what_is_written_over_is_kept_once(run, path):
    """As `calibrate threshold` does before it writes over a profile."""
    history.remember(path.with_name("none.yaml"))
    history.remember(path)
    path.write_text("# a comment\n" + path.read_text())
    history.remember(path)
    assert [version.number for version in history.versions(path)] == [1]
    edit(path)
    history.remember(path)
    assert [version.stored.seal for version in history.versions(path)] == [Seal.SEALED, Seal.EDITED]
