"""Ground-truth masks at the size of a map."""

import pytest

from calibrate.datasets.masks import map_mask, true_mask
from calibrate.datasets.sample import Sample
from calibrate.errors import DataError
from fbclip.images.geometry import Placement
from tests.factories.evaluations import box_mask, save_image


def test_masks_are_placed_like_the_image(tmp_path):
    save_image(tmp_path / "m.png", box_mask((24, 0, 48, 40)) // 255)
    whole = map_mask(tmp_path / "m.png", Placement(0, 0, 48, 40), (20, 24))
    assert whole[:, 12:].all()
    assert not whole[:, :12].any()
    right = map_mask(tmp_path / "m.png", Placement(24, 0, 24, 40), (8, 8))
    assert right.all()
    assert not map_mask(tmp_path / "m.png", Placement(0, 0, 24, 40), (8, 8)).any()
    save_image(tmp_path / "dot.png", box_mask((20, 20, 21, 21)))
    assert not map_mask(tmp_path / "dot.png", Placement(0, 0, 48, 40), (8, 8)).any()
    (tmp_path / "torn.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"torn\.png"):
        map_mask(tmp_path / "torn.png", Placement(0, 0, 48, 40), (8, 8))


def test_whose_pixels_are_known(tmp_path):
    save_image(tmp_path / "m.png", box_mask((24, 0, 48, 40)))
    path, placement = tmp_path / "a.png", Placement(0, 0, 48, 40)
    masks = [
        true_mask(Sample(path, "u", "0", label, mask), placement, (8, 8))
        for label, mask in ((False, None), (True, None), (True, tmp_path / "m.png"))
    ]
    assert not masks[0].any()
    assert masks[1] is None
    assert masks[2].sum() == 32
