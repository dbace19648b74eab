"""The whole head against the plain formulas, and that rows do not depend on their neighbours."""

import pytest
import torch
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter

from fbclip.backbone.weights import WeightsFile
from fbclip.method.config import AttentionConfig, FBCLIPConfig, TextConfig
from fbclip.method.maps import smooth_map, upsample
from fbclip.method.model import Head
from fbclip.method.text import PromptFusion, load_text_tower
from tests.fbclip import plain
from tests.golden.make_golden import HERE, backbone_config


def random_head(seed: int, width: int = 12, **changes):
    torch.manual_seed(seed)
    attention = AttentionConfig(heads=2, head_width=4)
    config = FBCLIPConfig(image_size=56, feature_layers=(1, 2, 3), attention=attention, **changes)
    head = Head(width, config)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    tokens = [torch.randn(3, 17, width) * (k + 1) for k in range(3)]
    prototypes = torch.nn.functional.normalize(torch.randn(2, 10), dim=-1)
    return head, tokens, prototypes, torch.randn(width, 10)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"modules": {"mvfbe": False}},
        {"modules": {"background_subtraction": False}},
        {"modules": {"mvfbe": False, "background_subtraction": False}},
        {"views": ("identity",)},
        {"views": ("semantic",)},
        {"views": ("spatial", "identity")},
    ],
)
def test_head_equals_the_plain_formulas(changes):
    head, tokens, prototypes, projection = random_head(3, **changes)
    head = head.double()
    tokens = [t.double() for t in tokens]
    prototypes, projection = prototypes.double(), projection.double()
    with torch.no_grad():
        fast = torch.sigmoid(head(tokens, prototypes, projection).margins)
        for row in range(3):
            slow = plain.probabilities(head, [t[row] for t in tokens], prototypes, projection)
            assert (fast[row] - slow).abs().max() < 1e-9


def test_without_mstff_the_prototype_is_the_eot_feature():
    weights = WeightsFile(backbone_config(), HERE / "backbone.safetensors")
    tower = load_text_tower(weights.all(), weights.config)
    torch.manual_seed(0)
    fusion = PromptFusion(weights.config, TextConfig(), mstff=False)
    with torch.no_grad():
        x = tower(fusion.embed(tower))
        eot = [x[row, int(ids.argmax())] @ tower.text_projection for row, ids in enumerate(fusion.ids)]
        expected = torch.nn.functional.normalize(torch.stack(eot), dim=-1)
        assert torch.allclose(fusion(tower), expected, atol=1e-6)
        fusion.mstff = True
        assert not torch.allclose(fusion(tower), expected, atol=1e-3)


def test_a_view_named_twice_is_refused():
    with pytest.raises(ValidationError, match="twice"):
        FBCLIPConfig(views=("identity", "identity"))


def test_a_row_does_not_depend_on_its_neighbours():
    head, tokens, prototypes, projection = random_head(4)
    with torch.no_grad():
        together = head(tokens, prototypes, projection).margins
        alone = head([t[1:2] for t in tokens], prototypes, projection).margins
    assert (together[1:2] - alone).abs().max() < 1e-4 * alone.abs().max()


def test_map_is_bilinear_then_gaussian_as_scipy_has_it():
    grid = torch.randn(2, 8, 8)
    expected = [gaussian_filter(m.double().numpy(), 4.0) for m in upsample(grid, 112)]
    actual = smooth_map(grid, 112, 4.0, 4.0)
    assert max(abs(a.numpy() - e).max() for a, e in zip(actual, expected, strict=True)) < 1e-5
    # A Gaussian wider than the map wraps its mirror image more than once.
    wide = smooth_map(grid, 16, 9.0, 4.0)
    expected = [gaussian_filter(m.double().numpy(), 9.0) for m in upsample(grid, 16)]
    assert max(abs(a.numpy() - e).max() for a, e in zip(wide, expected, strict=True)) < 1e-5
    assert torch.allclose(smooth_map(grid, 112, 0.0, 4.0), upsample(grid, 112), atol=1e-5)
