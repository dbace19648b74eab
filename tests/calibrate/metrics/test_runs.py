"""Sorted runs in a file."""

import numpy as np

from calibrate.metrics.runs import Spill, _key_of, _value_of


def test_float_keys_rise_with_the_values():
    values = [-3.4e38, -1.5, -1e-45, -0.0, 0.0, 1e-45, 0.3, 3.4e38]
    keys = [_key_of(v) for v in values]
    assert keys == sorted(set(keys))
    assert [float(_value_of(k)) for k in keys] == [float(np.float32(v)) for v in values]


def test_a_spill_reads_what_it_wrote():
    spill = Spill(None)
    columns = np.arange(5, dtype=np.float32), np.arange(3, dtype=np.float32), np.arange(3, dtype=np.int32)
    spill.write(*columns)
    spill.write(*columns)
    for run in spill.runs:
        for column, expected in zip(run, columns, strict=True):
            assert len(column) == len(expected)
            assert column[:].tolist() == expected.tolist()
            assert column[1:2].tolist() == [1]
            assert column[2] == 2
            assert column[2:2].tolist() == []
    spill.close()
