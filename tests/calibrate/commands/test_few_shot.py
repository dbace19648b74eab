"""`calibrate few-shot`: tables, the file, and what is refused."""

import json

from typer.testing import CliRunner

from calibrate.cli import app
from calibrate.embedded.samples.lines import GeneratedLine, write_line
from calibrate.errors import DataError
from calibrate.few_shot import experiment
from calibrate.few_shot.document import FewShot, read_few_shot
from fbclip.errors import ConfigError


def run(*arguments):
    return CliRunner().invoke(app, ["few-shot", *(str(a) for a in arguments)])


def test_curves_of_a_line_as_tables_and_as_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "PAINTED_EACH", 1)
    monkeypatch.setattr(experiment, "RESAMPLES", 50)
    root = write_line(GeneratedLine("sheet", "leather", 50), tmp_path, 10, 4, 4)
    out = tmp_path / "new" / "curves.json"
    answer = run(root, "--seeds", 2, "--device", "cpu", "--out", out)
    assert answer.exit_code == 0, answer.output
    found = read_few_shot(out)
    [curve] = found.curves
    assert (curve.name, curve.images, curve.test_normal, curve.test_anomalous) == ("sheet_leather", 2, 4, 4)
    assert [(step.images, len(step.image["memory"].values)) for step in curve.steps] == [(1, 2), (2, 1)]
    assert found.mean is None
    first, last = curve.steps
    assert first.image["zero-shot"].values[0] == last.image["zero-shot"].mean
    assert last.image["memory"].mean > 0.7
    assert last.pixel["memory"].low <= last.pixel["memory"].mean <= last.pixel["memory"].high
    assert last.image["chosen"] == last.image[next(iter(last.took))]
    assert f"| 2 (all) | {last.image['zero-shot'].mean:.3f} (" in answer.stdout

    assert found.features == "imagenet"

    # As JSON, and the same again but for the time.
    answer = run(root, "--seeds", 2, "--device", "cpu", "--json")
    again = FewShot.model_validate(json.loads(answer.stdout))
    assert again.model_copy(update={"created": found.created}) == found


def test_memories_of_other_features_are_measured_by_the_same_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "PAINTED_EACH", 1)
    monkeypatch.setattr(experiment, "RESAMPLES", 50)
    root = write_line(GeneratedLine("sheet", "leather", 50), tmp_path, 10, 4, 4)
    answer = run(root, "--seeds", 1, "--device", "cpu", "--json", "--features", "backbone")
    assert answer.exit_code == 0, answer.output
    found = FewShot.model_validate(json.loads(answer.stdout))
    assert found.features == "backbone"
    assert found.curves[0].steps[-1].image["memory"].mean > 0.7


def test_what_cannot_be_measured_is_refused(tmp_path):
    root = write_line(GeneratedLine("inbox"), tmp_path, 1, 1, 1)
    (tmp_path / "flat").mkdir()
    image = next((root / "train" / "good").iterdir())
    (tmp_path / "flat" / "a.png").write_bytes(image.read_bytes())
    for folder in (root, tmp_path / "flat"):
        answer = run(folder, "--out", tmp_path / "none.json")
        assert isinstance(answer.exception, DataError)
        assert "few-shot curves take" in str(answer.exception)
    assert isinstance(run().exception, ConfigError)
    assert not (tmp_path / "none.json").exists()
