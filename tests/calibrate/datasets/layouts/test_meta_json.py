"""Lists as AnomalyCLIP writes them."""

import pytest

from calibrate.datasets import read_data
from calibrate.errors import DataError
from tests.factories.images import (
    meta_item,
    problem_lines,
    sample_rows,
    write_image,
    write_images,
    write_meta,
)


def test_meta_json_says_everything(tmp_path):
    write_images(tmp_path, "a/1.png", "b/2.png", "c/2.png")
    write_meta(
        tmp_path, train={"nut": [meta_item("a/1.png")]}, test={"nut": [meta_item("b/2.png", 1, "c/2.png", "bent")]}
    )
    data = read_data(tmp_path)
    assert (data.layout, data.problems) == ("meta-json", ())
    assert sample_rows(data) == {
        "a/1.png": ("nut", "train", False, None, None),
        "b/2.png": ("nut", "test", True, "bent", "c/2.png"),
    }


def test_meta_json_never_leads_out_of_the_folder(tmp_path):
    root = tmp_path / "set"
    outside = write_image(tmp_path / "secret.png")
    write_image(root / "1.png")
    write_image(root / "2.png")
    entries = [
        meta_item("1.png"),
        meta_item("../secret.png"),
        meta_item(str(outside)),
        meta_item("x/../../secret.png"),
        meta_item("gone.png"),
        meta_item("2.png", 1, "../secret.png"),
        meta_item("2.png", "maybe"),
        {"anomaly": 0},
        "2.png",
    ]
    write_meta(root, test={"nut": entries})
    data = read_data(root)
    assert list(sample_rows(data)) == ["1.png", "2.png"]
    assert data.samples[1].mask is None
    assert [line.split(": ", 1)[0] + ": " + line.rsplit(": ", 1)[1] for line in problem_lines(data)] == [
        "meta.json: '../secret.png' leads out of the data folder; left out",
        f"meta.json: {str(outside)!r} leads out of the data folder; left out",
        "meta.json: 'x/../../secret.png' leads out of the data folder; left out",
        "meta.json: there is no image 'gone.png'; left out",
        "2.png: there is no mask '../secret.png' in the data folder",
        "meta.json: anomaly of 2.png is neither 0 nor 1; left out",
        "meta.json: img_path is missing; left out",
        "meta.json: img_path is missing; left out",
    ]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"train": []}', '{"test": {"a": 1}}', "{}", "[" * 100_000])
def test_meta_json_of_another_form_is_one_error(tmp_path, text):
    write_image(tmp_path / "1.png")
    (tmp_path / "meta.json").write_text(text)
    with pytest.raises(DataError, match=r"meta\.json"):
        read_data(tmp_path)
