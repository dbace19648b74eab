"""The embedded model and twelve normal images, for all tests of memories."""

import pytest

from calibrate.embedded.samples.files import write_calibration
from fbclip.detector import open_detector


@pytest.fixture(scope="package")
def detector():
    return open_detector("embedded", device="cpu")


@pytest.fixture(scope="package")
def normal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    write_calibration(folder, "inbox", 12)
    return folder
