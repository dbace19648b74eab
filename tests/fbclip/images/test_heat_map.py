"""Heat over an image: cold leaves it alone, hot colours it, the scale is fixed."""

from __future__ import annotations

import numpy as np
import pytest

from fbclip.images.heat_map import OPACITY, blend_heat_map


@pytest.mark.parametrize("size", [(40, 30), (64, 64), (700, 300)])
def test_only_what_is_above_the_scale_is_coloured(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 100, np.uint8)
    margins = np.full((64, 64), -1.0, np.float32)
    margins[:, 32:] = 5.0
    blended = blend_heat_map(image, margins, (0.0, 2.0))
    half = size[1] // 2
    assert np.array_equal(blended[:, : half - 8], image[:, : half - 8])
    changed = np.abs(blended[:, half + 8 :].astype(int) - 100).max(axis=2)
    assert changed.min() > 20
    assert image.min() == image.max() == 100  # the input stays as it is


def test_full_heat_has_the_stated_opacity_and_nan_is_cold() -> None:
    black = np.zeros((8, 8, 3), np.uint8)
    white = np.full((8, 8, 3), 255, np.uint8)
    hot = np.full((8, 8), 9.0, np.float32)
    remaining = blend_heat_map(white, hot, (0.0, 1.0)).astype(int) - blend_heat_map(black, hot, (0.0, 1.0))
    assert np.allclose(remaining, (1 - OPACITY) * 255, atol=1.5)
    assert np.array_equal(blend_heat_map(white, np.full((8, 8), np.nan, np.float32), (0.0, 1.0)), white)
