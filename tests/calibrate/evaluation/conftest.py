"""The labelled set that evaluations are tried on."""

import pytest

from tests.factories.evaluations import write_labelled_set


@pytest.fixture
def root(tmp_path):
    return write_labelled_set(tmp_path / "set")
