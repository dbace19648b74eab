"""Which mask belongs to which image."""

from calibrate.datasets.pairs import pair_masks


def test_no_masks_and_no_images_make_no_pairs():
    assert pair_masks([], {}, {}) == ([], [])
