"""Units that look the same are found, and independent ones are left alone."""

import cv2
import numpy as np
import pytest

from calibrate.datasets.near_duplicates import find_near_duplicates, merged, same_pictures
from calibrate.datasets.reader import read_data
from calibrate.datasets.summary import summarise, summary_text


def smooth(rng, n, size, side=32):
    """(n,side,side) independent pictures with a form of about `size` cells."""
    raw = rng.normal(0, 1, (n, side, side)).astype(np.float32)
    return np.stack([cv2.GaussianBlur(p, (0, 0), size) * 20 * size for p in raw])


def shifted_part(rng, n):
    """One part in one fixture that lies a little differently each time, with the camera's noise: 2 dimensions."""
    part = cv2.resize(rng.normal(0, 20, (10, 10)).astype(np.float32), (40, 40), interpolation=cv2.INTER_CUBIC)
    out = []
    for _ in range(n):
        dx, dy = rng.normal(0, 0.7, 2)
        moved = cv2.warpAffine(part, np.float32([[1, 0, dx], [0, 1, dy]]), (40, 40), flags=cv2.INTER_LINEAR)
        out.append(moved[4:36, 4:36] + rng.normal(0, 0.2, (32, 32)))
    return np.array(out, np.float32)


def of_variants(rng, n):
    """Ten products, whose units differ by much less than the products."""
    products = smooth(rng, 10, 2)
    return products[np.arange(n) % 10] + 0.1 * smooth(rng, n, 2)


KINDS = {
    "fine": lambda rng, n: smooth(rng, n, 0.8),
    "coarse": lambda rng, n: smooth(rng, n, 6),
    "shifted": shifted_part,
    "variants": of_variants,
    "plain": lambda rng, n: rng.normal(0, 0.3, (n, 32, 32)).astype(np.float32),
}


@pytest.mark.parametrize("kind", KINDS)
def test_independent_units_are_left_alone(kind):
    """100 data sets of 40 units each: at most 1% of them lose any."""
    rng, lost = np.random.default_rng(6), 0
    for _ in range(100):
        lost += len(set(same_pictures(KINDS[kind](rng, 40)))) < 40
    # 100 draws at 1% lose more than 4 with probability 0.004.
    assert lost <= 4, lost


@pytest.mark.parametrize("kind", ["fine", "coarse", "plain"])
def test_the_same_part_again_is_found(kind):
    rng = np.random.default_rng(7)
    pictures = KINDS[kind](rng, 40)
    again = pictures[:4] + rng.normal(0, 0.05, (4, 32, 32)).astype(np.float32)
    labels = same_pictures(np.concatenate((pictures, again)))
    assert list(labels[40:]) == list(labels[:4])
    assert len(set(labels)) == 40


def test_files_are_compared_and_units_merged(tmp_path):
    rng = np.random.default_rng(8)
    (tmp_path / "good").mkdir()
    for number in range(20):
        image = cv2.resize(rng.integers(30, 220, (9, 9, 3)).astype(np.uint8), (160, 160), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(tmp_path / "good" / f"{number:02d}.png"), image)
        if number == 3:
            noisy = image + rng.normal(0, 3, image.shape)
            cv2.imwrite(str(tmp_path / "good" / "zz.png"), np.clip(noisy, 0, 255).astype(np.uint8))
    data = read_data(tmp_path)
    found = find_near_duplicates(data.samples)
    assert found.groups == (("good/03.png", "good/zz.png"),)
    assert (found.spare, found.compared) == (1, 21)
    assert len({s.unit for s in merged(data.samples, found)}) == 20
    text = summary_text(summarise(data))
    assert "good/03.png = good/zz.png" in text
    assert summarise(data).usable
