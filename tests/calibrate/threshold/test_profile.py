"""What a profile keeps of its units for drift."""

import numpy as np

from calibrate.threshold.calibration_record import reference


def test_reference_is_thinned_evenly_and_keeps_its_ends():
    z = np.random.default_rng(10).standard_normal(5000)
    thin = reference(z)
    assert len(thin) == 1000
    assert list(thin) == sorted(thin)
    assert (thin[0], thin[-1]) == (round(float(np.float32(z.min())), 6), round(float(np.float32(z.max())), 6))
    assert np.abs(np.quantile(thin, [0.1, 0.5, 0.9]) - np.quantile(z, [0.1, 0.5, 0.9])).max() < 0.02
    assert reference(np.array([2.0, 1.0])) == (1.0, 2.0)
