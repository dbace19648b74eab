"""Generated lines are data sets of a known layout."""

from calibrate.datasets.reader import read_data
from calibrate.embedded.samples.lines import GeneratedLine, write_line


def test_generated_lines_are_data_sets(tmp_path):
    data = read_data(write_line(GeneratedLine("part", "biscuit", 5), tmp_path, 3, 2, 2))
    assert data.layout == "mvtec"
    assert [len([s for s in data.samples if s.split == part]) for part in ("train", "test")] == [3, 4]
    assert all(s.mask is not None for s in data.anomalous())
