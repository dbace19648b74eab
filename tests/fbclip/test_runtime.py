"""Devices by name."""

import pytest
import torch

from fbclip.errors import ConfigError
from fbclip.runtime import pick_device


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_missing_gpu_is_a_configuration_error():
    assert pick_device("auto").type == "cpu"
    with pytest.raises(ConfigError, match="no such GPU"):
        pick_device("cuda")


def test_a_name_that_is_no_device_is_a_configuration_error():
    with pytest.raises(ConfigError, match="no such device"):
        pick_device("gpu0")
