"""No unit serves both a memory and a threshold."""

from calibrate.datasets.reader import read_data
from calibrate.memory.provenance import leave_out


def test_a_unit_of_which_the_memory_saw_one_image_is_left_out_whole(normal):
    samples = read_data(normal, unit_from=r"unit_000(\d)").normal()
    rest, notes = leave_out(samples, {samples[0].sha256}, "m")
    assert samples[0].unit not in {s.unit for s in rest}
    assert len(rest) < len(samples) - 1
    assert notes == ["1 normal units were seen by the memory m and do not set the threshold"]
    assert leave_out(rest, {samples[0].sha256}, "m") == (rest, [])
