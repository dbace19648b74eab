"""`calibrate threshold` on real files with the embedded model, and `agent inspect` with what it wrote."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from agent.cli import app as agent
from calibrate.cli import app as calibrate
from calibrate.datasets.sample import data_sha256
from calibrate.errors import DataError, RefusedError
from calibrate.pictures import read_good
from calibrate.splits import split_units
from calibrate.synthesis.sample_files import write_calibration
from fbclip.errors import ConfigError, ProfileError
from fbclip.profile import load_profile, save_profile

# 30 % at 80 % confidence takes 5 units for the threshold and 10 for the scale.
WISH = ["--false-alarm", "0.3", "--confidence", "0.8", "--line", "inbox"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    write_calibration(folder, "inbox", 16)
    return folder


def run(app, *arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=True)


def test_profile_is_written_and_judges_as_it_was_measured(pictures, tmp_path):
    out = tmp_path / "inbox.yaml"
    answer = run(calibrate, "threshold", pictures, "--out", out, *WISH, "--json")
    assert answer.exit_code == 0, answer.output
    profile = load_profile(out).profile
    assert json.loads(answer.stdout)["id"] == profile.id
    c = profile.calibration
    assert (c.n_good, c.n_constants, c.exceedances) == (6, 10, 0)
    assert (c.guarantee.false_alarm_rate, c.guarantee.confidence) == (0.3, 0.8)
    assert profile.uncertain_above <= profile.threshold

    # The same pictures through the agent's code: at most the allowed ones alarm, and z is the calibrated z.
    judged = run(agent, "inspect", pictures / "good", "--profile", out, "--json")
    rows = [json.loads(line) for line in judged.stdout.splitlines()]
    samples = read_good(pictures, None)
    _, used = split_units(samples, c.n_constants)
    names = {str(s.path) for s in used}
    z = [row["z"] for row in rows if row["path"] in names]
    assert len(z) == 6
    # Rows of other batches differ by rounding only.
    assert max(z) == pytest.approx(profile.threshold, abs=1e-3)

    again = tmp_path / "again.yaml"
    run(calibrate, "threshold", pictures, "--out", again, *WISH)
    assert load_profile(again).profile.threshold == profile.threshold
    copy = tmp_path / "copy.yaml"
    save_profile(profile, copy)
    assert load_profile(copy).profile.id == profile.id


def test_too_few_are_refused_and_best_effort_claims_nothing(pictures, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted((pictures / "good").iterdir())[:14]:
        shutil.copy(path, few)
    out = tmp_path / "p.yaml"
    answer = run(calibrate, "threshold", few, "--out", out, *WISH)
    assert isinstance(answer.exception, RefusedError)
    assert "15 are needed" in str(answer.exception)
    assert not out.exists()
    answer = run(calibrate, "threshold", few, "--out", out, *WISH, "--best-effort")
    assert answer.exit_code == 0
    assert "guarantee: none" in answer.stdout
    assert load_profile(out).profile.calibration.guarantee is None


def test_units_come_from_names_and_copies_count_once(pictures, tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    for number, path in enumerate(sorted((pictures / "good").iterdir())):
        shutil.copy(path, folder / f"part{number // 4}_{number % 4}.png")
        shutil.copy(path, folder / f"part{number // 4}_{number % 4}_copy.png")
    samples = read_good(folder, r"part(\d+)")
    assert len(samples) == 16
    assert {s.unit for s in samples} == {"0", "1", "2", "3"}
    first, rest = split_units(samples, 1)
    assert len(first) == 4
    assert not {s.unit for s in first} & {s.unit for s in rest}
    assert data_sha256(samples) == data_sha256(list(reversed(samples)))
    answer = run(calibrate, "threshold", folder, "--out", tmp_path / "p.yaml", *WISH, "--unit-from", r"part(\d+)")
    assert "4 good units cannot carry" in str(answer.exception)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [("broken.png", b"no picture", "not_an_image"), ("empty.png", b"", "empty"), ("cut.jpg", b"\xff\xd8\xff", "trunc")],
)
def test_pictures_that_cannot_be_judged_are_listed(pictures, tmp_path, name, content, says):
    folder = tmp_path / "mixed"
    shutil.copytree(pictures / "good", folder)
    (folder / name).write_bytes(content)
    out = tmp_path / "p.yaml"
    answer = run(calibrate, "threshold", folder, "--out", out, *WISH)
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
def test_wrong_usage_is_named(arguments, error, says, tmp_path, monkeypatch, pictures):
    monkeypatch.chdir(pictures)
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
def test_a_damaged_profile_is_refused_by_field(pictures, tmp_path, old, new, says):
    out = tmp_path / "p.yaml"
    assert run(calibrate, "threshold", pictures, "--out", out, *WISH).exit_code == 0
    out.write_text(out.read_text().replace(old, new, 1))
    with pytest.raises(ProfileError, match=says):
        load_profile(out)


def test_inspect_without_a_profile_scores_but_does_not_judge(pictures):
    answer = run(agent, "inspect", sorted((pictures / "good").iterdir())[0], "--json")
    row = json.loads(answer.stdout)
    assert (row["verdict"], row["reason"], row["threshold"]) == ("uncertain", "no_profile", None)
    assert row["margin"] is not None
