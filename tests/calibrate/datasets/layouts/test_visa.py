"""VisA's layout and its split file."""

from calibrate.datasets import read_data
from tests.factories.images import (
    problem_lines,
    sample_rows,
    visa_tree,
)


def test_visa_without_a_split_file(tmp_path):
    visa_tree(tmp_path)
    data = read_data(tmp_path)
    assert (data.layout, data.problems) == ("visa", ())
    assert sample_rows(data) == {
        "candle/Data/Images/Normal/000.JPG": ("candle", None, False, None, None),
        "candle/Data/Images/Normal/001.JPG": ("candle", None, False, None, None),
        "candle/Data/Images/Anomaly/000.JPG": (
            "candle",
            None,
            True,
            "Anomaly",
            "candle/Data/Masks/Anomaly/000.png",
        ),
    }
    assert {s.class_name for s in read_data(tmp_path / "candle").samples} == {"candle"}


def test_visa_split_file_decides(tmp_path):
    visa_tree(tmp_path)
    folder = "candle/Data/Images"
    (tmp_path / "split_csv").mkdir()
    (tmp_path / "split_csv/1cls.csv").write_text(
        "object,split, label,image,mask\n"
        f"candle,train,normal,{folder}/Normal/000.JPG,\n"
        f"candle,test,anomaly,{folder}/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png\n"
        f"candle,test,normal,{folder}/Normal/999.JPG,\n"
        "pcb1,train,normal,pcb1/Data/Images/Normal/000.JPG,\n"
        "pcb1,train,normal,pcb1/Data/Images/Normal/001.JPG,\n"
    )
    data = read_data(tmp_path)
    assert {name.removeprefix(folder): row[1] for name, row in sample_rows(data).items()} == {
        "/Normal/000.JPG": "train",
        "/Normal/001.JPG": None,
        "/Anomaly/000.JPG": "test",
    }
    assert problem_lines(data) == (
        f"{folder}/Normal/999.JPG: named by split_csv/1cls.csv, but there is no such image",
        "pcb1: a class of split_csv/1cls.csv that is not here",
        f"{folder}/Normal/001.JPG: not in split_csv/1cls.csv; in no split",
    )
