"""The method to tune: a base's own, or a changed one."""

import pytest

from calibrate.tuning.model import changed_method
from fbclip.errors import ConfigError
from fbclip.method.config import ContrastConfig
from tests.factories.tuning import METHOD


def test_modules_are_switched_off_and_files_are_checked(tmp_path):
    method = METHOD.model_copy(update={"contrast": ContrastConfig(weight=2)})
    off = changed_method(method, None, ["mstff", "mvfbe", "background-subtraction", "scr", "contrast"])
    assert not (off.modules.mstff or off.modules.mvfbe or off.modules.background_subtraction)
    assert off.consistency.weight == off.contrast.weight == 0
    assert off.consistency.margin == METHOD.consistency.margin
    file = tmp_path / "m.yaml"
    file.write_text("consistency: {weight: 0.3}\nfeature_layers: [1, 2]\n")
    assert changed_method(METHOD, file, []).feature_layers == (1, 2)
    assert changed_method(METHOD, file, []).attention == METHOD.attention
    for text, message in (
        ("consistency: {wait: 1}", r"m\.yaml: consistency\.wait"),
        ("image_size: many", "image_size"),
        ("- 1", "must hold fields"),
        ("a: [", "cannot be read"),
        ("a: !!python/object/apply:os.system [ls]", "cannot be read"),
        ("#" * 70_000, "larger than"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError, match=message):
            changed_method(METHOD, file, [])
    with pytest.raises(ConfigError, match="no such file"):
        changed_method(METHOD, tmp_path / "none.yaml", [])
    with pytest.raises(ConfigError, match="--without"):
        changed_method(METHOD, None, ["everything"])
