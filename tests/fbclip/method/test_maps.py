"""Maps are what scipy makes of a grid."""

import torch
from scipy.ndimage import gaussian_filter

from fbclip.method.maps import smooth_map, upsample


def test_map_is_bilinear_then_gaussian_as_scipy_has_it():
    grid = torch.randn(2, 8, 8)
    expected = [gaussian_filter(m.double().numpy(), 4.0) for m in upsample(grid, 112)]
    actual = smooth_map(grid, 112, 4.0, 4.0)
    assert max(abs(a.numpy() - e).max() for a, e in zip(actual, expected, strict=True)) < 1e-5
    # A Gaussian wider than the map wraps its mirror image more than once.
    wide = smooth_map(grid, 16, 9.0, 4.0)
    expected = [gaussian_filter(m.double().numpy(), 9.0) for m in upsample(grid, 16)]
    assert max(abs(a.numpy() - e).max() for a, e in zip(wide, expected, strict=True)) < 1e-5
    assert torch.allclose(smooth_map(grid, 112, 0.0, 4.0), upsample(grid, 112), atol=1e-5)
