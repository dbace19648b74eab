"""One labelled data set for all tests of tuning."""

from pathlib import Path

import pytest

from tests.factories.tuning import write_labelled


@pytest.fixture(scope="package")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("labelled")
    write_labelled(root)
    return root
