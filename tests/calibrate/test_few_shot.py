"""`calibrate few-shot`: exact pixel draws, means and intervals over seeds and test units, and the file of it all."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from calibrate.commands.few_shot import few_shot
from calibrate.embedded.samples.lines import GeneratedLine, write_line
from calibrate.errors import DataError
from calibrate.few_shot import experiment
from calibrate.few_shot.curve import average, measured
from calibrate.few_shot.document import METHODS, FewShot
from calibrate.few_shot.experiment import Counted, FewShotPoint
from calibrate.few_shot.text import table
from calibrate.metrics.pairs import count_pairs
from calibrate.metrics.ranking import auroc
from calibrate.report.reading import read_few_shot
from calibrate.statistics.bootstrap import draw_weights, weighted_ranking
from fbclip.errors import ConfigError


def run(*arguments):
    app = typer.Typer()
    app.command()(few_shot)
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=True)


def point(count, seed, drawn, chosen="memory", measures=("image",)):
    """A memory whose methods all have the same draws, the first as the images are."""
    return FewShotPoint(count, seed, chosen, {(m, k): np.array(drawn) for m in METHODS for k in measures})


def curve_of(points, name="a", images=3, seed=0):
    return measured(name, points, images, Counted(5, 4), np.random.default_rng(seed))


@pytest.mark.parametrize("levels", [6, 10_000])
def test_pairs_give_the_pixel_auroc_of_every_draw(levels):
    rng = np.random.default_rng(2)
    shapes = [(4, 5), (3, 3), (6, 2), (1, 1), (5, 5)]
    values = [rng.integers(0, levels, shape).astype(np.float32) for shape in shapes]
    masks = [rng.random(shape) < share for shape, share in zip(shapes, (0.3, 0, 0.5, 1, 0.1), strict=True)]
    pairs = count_pairs(values, masks)
    for weights in (np.ones(5), np.array([2.0, 1, 0, 1, 3])):
        # As many copies of an image as its weight says.
        copies = np.repeat(np.arange(5), weights.astype(int))
        pixels = np.concatenate([values[n].ravel() for n in copies])
        labels = np.concatenate([masks[n].ravel() for n in copies])
        assert pairs.auroc(weights[None])[0] == pytest.approx(auroc(pixels, labels), abs=1e-12)
    # The one image that is all defect, and none at all.
    assert np.isnan(pairs.auroc(np.array([[0.0, 0, 0, 1, 0], [0.0, 1, 0, 0, 0]]))).all()
    assert np.isnan(count_pairs(values, [np.zeros(shape, bool) for shape in shapes]).auroc(np.ones((1, 5)))).all()


def test_interval_covers_seeds_and_test_images():
    # The same test draws, seeds that differ: what is left is which seeds are drawn.
    seeds = [0.5, 0.6, 0.7, 0.8, 0.9]
    step = curve_of([point(1, k, [value] * 4001) for k, value in enumerate(seeds)]).curve.steps[0]
    found = step.image["memory"]
    assert (found.values, found.mean) == (tuple(seeds), pytest.approx(0.7))
    drawn = np.random.default_rng(9).choice(seeds, (100_000, 5)).mean(axis=1)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, (0.025, 0.975))), abs=0.021)
    assert step.took == {"memory": 5}
    assert step.pixel is None

    # One seed: the interval is that of the test images.
    rng = np.random.default_rng(4)
    margins, labels = rng.normal(size=40), np.arange(40) < 15
    weights = np.concatenate(list(draw_weights([str(k) for k in range(40)], labels, 500, rng)))
    areas = weighted_ranking(margins + labels, labels, np.concatenate((np.ones((1, 40)), weights))).auroc
    alone = curve_of([point(3, 0, areas)]).curve.steps[0].image["fused"]
    assert alone.mean == areas[0]
    assert (alone.low, alone.high) == pytest.approx(tuple(np.quantile(areas[1:], (0.025, 0.975))))

    # Both together are less sure than either, and the same call gives the same again.
    both = [point(1, k, np.clip(areas + value - 0.7, 0, 1)) for k, value in enumerate(seeds)]
    wide = curve_of(both).curve.steps[0].image["fused"]
    assert wide.high - wide.low > max(alone.high - alone.low, found.high - found.low)
    assert curve_of(both).curve == curve_of(both).curve


def test_mean_over_sets_takes_the_numbers_that_all_have():
    masked = ("image", "pixel")
    one = curve_of([point(1, 0, [0.5, 0.4, 0.6], measures=masked), point(3, 0, [0.9, 0.9, 0.9], measures=masked)])
    two = curve_of([point(1, 0, [1.0, 1.0, 1.0], "fused"), point(2, 0, [1.0, 1.0, 1.0])], "b", 2)
    both = average([one, two])
    [step] = both.steps
    assert (both.name, both.test_good, both.test_defective, step.pictures) == ("mean of 2", 10, 8, 1)
    assert step.took == {"memory": 1, "fused": 1}
    assert (step.image["memory"].values, step.image["memory"].mean) == ((0.5, 1.0), 0.75)
    assert 0.7 <= step.image["memory"].low < step.image["memory"].high <= 0.8
    assert (step.pixel["memory"].values, step.pixel["memory"].mean) == ((0.5,), 0.5)
    assert average([one]) is None
    assert average([one, curve_of([point(7, 0, [0.5, 0.5])], "c")]) is None


def test_tables_tell_mean_and_interval():
    points = [point(1, 0, [0.5, 0.5, 0.5]), point(1, 1, [0.5, 0.5, 0.5], "fused"), point(3, 0, [0.9, 0.8, 0.8])]
    shown = table(curve_of(points).curve)
    cells = " | ".join(["0.500 (0.500..0.500)"] * 4)
    assert f"| 1 | {cells} | memory 1, fused 1 |" in shown
    assert "| 3 (all) | 0.900 (0.800..0.800) |" in shown
    assert "pixels" not in shown


def test_curves_of_a_line_as_tables_and_as_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "PAINTED_EACH", 1)
    monkeypatch.setattr(experiment, "RESAMPLES", 50)
    root = write_line(GeneratedLine("sheet", "leather", 50), tmp_path, 10, 4, 4)
    out = tmp_path / "new" / "curves.json"
    answer = run(root, "--seeds", 2, "--device", "cpu", "--out", out)
    assert answer.exit_code == 0, answer.output
    found = read_few_shot(out)
    [curve] = found.curves
    assert (curve.name, curve.pictures, curve.test_good, curve.test_defective) == ("sheet_leather", 2, 4, 4)
    assert [(step.pictures, len(step.image["memory"].values)) for step in curve.steps] == [(1, 2), (2, 1)]
    assert found.mean is None
    first, last = curve.steps
    assert first.image["zero-shot"].values[0] == last.image["zero-shot"].mean
    assert last.image["memory"].mean > 0.7
    assert last.pixel["memory"].low <= last.pixel["memory"].mean <= last.pixel["memory"].high
    assert last.image["chosen"] == last.image[next(iter(last.took))]
    assert f"| 2 (all) | {last.image['zero-shot'].mean:.3f} (" in answer.stdout

    # As JSON, and the same again but for the time.
    answer = run(root, "--seeds", 2, "--device", "cpu", "--json")
    again = FewShot.model_validate(json.loads(answer.stdout))
    assert again.model_copy(update={"created": found.created}) == found


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
