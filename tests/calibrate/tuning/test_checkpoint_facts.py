"""What a checkpoint is for, by its shapes and its name."""

from pathlib import Path

import pytest

from calibrate.tuning.checkpoint_facts import checkpoint_facts


@pytest.mark.parametrize(
    ("path", "data_set"),
    [
        ("fbclip_visa.pth", "VisA"),
        ("trained_on_MVTec/epoch_15.pth", "MVTec AD"),
        ("visa/mvtec_epoch_3.pth", "MVTec AD"),
        ("visa_to_mvtec.pth", None),
        ("epoch_15.pth", None),
    ],
)
def test_the_data_set_is_what_the_nearest_name_says(path, data_set):
    assert checkpoint_facts(Path("/models") / path, 768).data_set == data_set


def test_backbones_are_those_of_the_prompts_width():
    found = checkpoint_facts(Path("/x/y.pth"), 768)
    assert found.text_width == 768
    assert found.backbones[0] == "ViT-L-14-336"
    assert "ViT-L-14" in found.backbones
    assert "ViT-B-32" not in found.backbones
    assert checkpoint_facts(Path("/x/y.pth"), 7).backbones == ()
