"""Any folder: a layout is found, named or refused."""

import pytest

from calibrate.datasets import read_data
from calibrate.datasets.sample import data_sha256
from calibrate.errors import DataError
from fbclip.errors import ConfigError
from tests.factories.images import (
    meta_item,
    mvtec_tree,
    sample_rows,
    write_image,
    write_images,
    write_meta,
)


def test_a_named_layout_and_what_does_not_fit(tmp_path):
    write_images(tmp_path, "kos01/Part0.jpg", "kos02/Part0.jpg")
    with pytest.raises(DataError, match=r"test/<kind>.*--layout"):
        read_data(tmp_path)
    with pytest.raises(DataError, match="visa"):
        read_data(tmp_path, layout="visa")
    with pytest.raises(ConfigError, match="meta-json"):
        read_data(tmp_path, layout="coco")
    with pytest.raises(DataError, match="no such folder"):
        read_data(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images"):
        read_data(tmp_path / "empty")


def test_a_list_beats_folders_unless_a_layout_is_named(tmp_path):
    mvtec_tree(tmp_path)
    write_meta(tmp_path, train={"nut": [meta_item("train/good/000.png")]})
    assert read_data(tmp_path).layout == "meta-json"
    assert len(read_data(tmp_path, layout="mvtec").samples) == 5
    assert list(sample_rows(read_data(tmp_path, layout="plain"))) == ["train/good/000.png", "train/good/001.png"]


def test_a_list_that_is_a_link_out_is_refused(tmp_path):
    (tmp_path / "meta.json").write_text("{}")
    write_image(tmp_path / "set/1.png")
    (tmp_path / "set/meta.json").symlink_to(tmp_path / "meta.json")
    with pytest.raises(DataError, match="leads out"):
        read_data(tmp_path / "set")


def test_the_digest_does_not_depend_on_where_the_set_lies(tmp_path):
    for name in ("a", "b"):
        for seed in range(3):
            write_image(tmp_path / name / f"good/{seed}.png", seed)
    one, other = (read_data(tmp_path / name) for name in ("a", "b"))
    assert data_sha256(one.samples) == data_sha256(other.samples)
