"""The file of few-shot curves: stored names, and errors of one line."""

import json

import pytest

from calibrate.errors import DataError
from calibrate.few_shot import document
from calibrate.few_shot.document import read_few_shot
from tests.factories.few_shot import few_shot, few_shot_curve


def test_the_file_has_the_stored_names_and_reads_back(tmp_path):
    path = tmp_path / "curves.json"
    path.write_text(few_shot(few_shot_curve("tile")).text())
    [curve] = json.loads(path.read_text())["curves"]
    assert list(curve) == ["name", "pictures", "test_good", "test_defective", "steps"]
    assert list(curve["steps"][0]) == ["pictures", "took", "image", "pixel"]
    assert read_few_shot(path) == few_shot(few_shot_curve("tile"))


def broken(change):
    data = json.loads(few_shot(few_shot_curve("tile")).text())
    change(data)
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ('{"schema": "calibrate.few-shot/2"}', "schema: not calibrate.few-shot/1; `calibrate few-shot --out` makes it"),
        (broken(lambda d: d["curves"].clear()), "curves: Tuple should have at least 1 item"),
        (broken(lambda d: d.update(later=1)), "later: Extra inputs"),
        (broken(lambda d: d["curves"][0]["steps"].reverse()), r"curves.0: the numbers of images \[35, 16"),
        (broken(lambda d: d["curves"][0]["steps"][0]["image"].pop("fused")), "steps.0: no fused for 1 images"),
        (broken(lambda d: d["curves"][0]["steps"][0]["image"]["fused"].update(low=0.99)), "low 0.99 lies above high"),
        (broken(lambda d: d["curves"][0]["steps"][0]["image"]["fused"].update(mean=1.5)), "mean: Input should be less"),
        (broken(lambda d: d["curves"][0]["steps"][0]["image"]["fused"].update(mean=float("nan"))), "mean: Input"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path, text, message):
    path = tmp_path / "curves.json"
    path.write_text(text)
    with pytest.raises(DataError, match=f"curves.json: .*{message}") as caught:
        read_few_shot(path)
    assert "\n" not in str(caught.value)


def test_a_missing_or_huge_file_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no such file; `calibrate few-shot --out` makes it"):
        read_few_shot(tmp_path / "none.json")
    monkeypatch.setattr(document, "MAX_BYTES", 10)
    (tmp_path / "curves.json").write_text(few_shot(few_shot_curve("tile")).text())
    with pytest.raises(DataError, match="larger than 10 bytes"):
        read_few_shot(tmp_path / "curves.json")
