"""What the method's settings refuse, and what they read of a backbone."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from fbclip.method.config import ContrastConfig, FBCLIPConfig


def test_a_view_named_twice_is_refused():
    with pytest.raises(ValidationError, match="twice"):
        FBCLIPConfig(views=("identity", "identity"))


def test_only_a_method_with_contrast_reads_the_stem():
    assert FBCLIPConfig(feature_layers=(2, 4)).layers == (2, 4)
    assert FBCLIPConfig(feature_layers=(2, 4), contrast=ContrastConfig(weight=2.0)).layers == (0, 2, 4)
