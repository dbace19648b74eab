"""The convolutional stem: its grid, what its norm forgets, and what layer 0 is."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from fbclip.backbone.config import STEM, BackboneConfig
from fbclip.backbone.conv_stem import ConvStem, ImageNorm
from fbclip.backbone.tower import Backbone, layer_width

TINY = BackboneConfig(
    name="tiny", image_size=64, patch_size=16, layers=2, width=16, heads=2, embed_dim=8, text_width=8, text_heads=1,
    stem="conv",
)  # fmt: skip


@pytest.mark.parametrize("patch", [4, 8, 16, 32])
def test_the_grid_is_that_of_the_patches(patch: int) -> None:
    torch.manual_seed(0)
    out = ConvStem(24, patch)(torch.randn(2, 3, 64, 64))
    assert out.shape == (2, 24, 64 // patch, 64 // patch)


@pytest.mark.parametrize("patch", [2, 12, 14])
def test_other_patch_sizes_are_refused(patch: int) -> None:
    with pytest.raises(ValidationError, match="patch_size of 4, 8, 16"):
        BackboneConfig(name="x", stem="conv", patch_size=patch, image_size=patch * 4)


def test_the_norm_forgets_gain_and_offset_of_a_channel() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 5, 9, 9)
    norm = ImageNorm(5)
    gain, offset = torch.rand(3, 5, 1, 1) + 0.5, torch.randn(3, 5, 1, 1)
    assert torch.allclose(norm(x * gain + offset), norm(x), atol=1e-4)
    out = norm(x)
    assert torch.allclose(out.mean(dim=(2, 3)), torch.zeros(3, 5), atol=1e-5)
    assert torch.allclose(out.var(dim=(2, 3), correction=0), torch.ones(3, 5), atol=1e-3)


def test_an_even_image_stays_finite() -> None:
    out = ConvStem(16, 16)(torch.full((1, 3, 64, 64), 0.3))
    assert torch.isfinite(out).all()


def test_the_stems_cells_are_layer_0_whatever_else_is_asked() -> None:
    torch.manual_seed(0)
    backbone = Backbone(TINY, 64).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        cells, _ = backbone.visual.conv1.cells_and_patches(images)
        (stem,) = backbone(images, [STEM])
        both = backbone(images, [STEM, 2])
        (block,) = backbone(images, [2])
    assert stem.shape == (2, 16, layer_width(TINY, STEM)) == (2, 16, 128)
    patch_cells = stem[1].view(4, 4, 128)[2, 3]
    assert torch.allclose(patch_cells, cells[1, :, 4:6, 6:8].mean(dim=(1, 2)), atol=1e-6)
    assert torch.equal(both[0], stem)
    assert torch.equal(both[1], block)
