"""Every fault in its short length; by hand each runs longer: `python -m tests.faults NAME --long`."""

import pytest

from tests.faults.catalog import CATALOG


@pytest.mark.parametrize("name", [name for name, lengths in CATALOG.items() if lengths.short is not None])
def test_nothing_is_lost(name, tmp_path):
    run = CATALOG[name].short
    assert run is not None
    assert run(tmp_path / name)
