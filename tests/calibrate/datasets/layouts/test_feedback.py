"""What people answered to an agent's verdicts."""

import pytest

from calibrate.datasets import read_data
from calibrate.errors import DataError
from tests.factories.images import (
    problem_lines,
    write_image,
    write_images,
)


def test_feedback_labels_units_and_lines(tmp_path):
    write_images(tmp_path, *(f"frames/{n}.png" for n in range(5)), "frames/6.jpg")
    (tmp_path / "feedback.csv").write_text(
        "file,unit,line,ts,label\n0.png,7,press,,ok\n1.png,7,press,,OK\n2.png,,press,,anomaly\n6.jpg,7,weld,,unsure\n"
        "gone.png,1,press,,ok\n../x.png,1,press,,ok\n2.png,,press,,ok\n",
        encoding="utf-8-sig",
    )
    data = read_data(tmp_path)
    assert data.layout == "feedback"
    assert [(s.path.name, s.label, s.class_name, s.unit) for s in data.samples] == [
        ("0.png", False, "press", "press/7"),
        ("1.png", False, "press", "press/7"),
        ("2.png", True, "press", "frames/2.png"),
        ("6.jpg", None, "weld", "weld/7"),
    ]
    assert problem_lines(data) == (
        "gone.png: named by feedback.csv, but there is no such image in frames/",
        "../x.png: named by feedback.csv, but there is no such image in frames/",
        "frames/2.png: a second row in feedback.csv; the first one counts",
        "frames: no place in the layout feedback; images left out: 2",
    )


@pytest.mark.parametrize("text", [b"", b"file,label\n", b"\xff\xfe", b'file,unit,line,ts,label\n"' + b"x" * 200_000])
def test_a_broken_list_is_one_error(tmp_path, text):
    write_image(tmp_path / "frames/1.png")
    (tmp_path / "feedback.csv").write_bytes(text)
    with pytest.raises(DataError, match=r"feedback\.csv"):
        read_data(tmp_path)
