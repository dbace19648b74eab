"""Contrast within an image against its definition, and what it may not touch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fbclip.detector import Detector, Job
from fbclip.engines.torch_engine import TorchEngine
from fbclip.method.config import ContrastConfig
from fbclip.method.contrast import contrast_logits
from tests.factories.models import tiny_adapter, tiny_backbone

CONFIG = ContrastConfig(weight=2.0)


def correlated(batch: int, count: int, width: int) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(batch, count, width) @ torch.randn(width, width) + torch.arange(width)


def test_it_is_the_logarithm_of_the_mahalanobis_distance():
    stem = correlated(2, 50, 6)
    found = contrast_logits(stem, CONFIG)
    assert found.shape == (2, 50)
    for tokens, logits in zip(stem.double().numpy(), found.numpy(), strict=True):
        rest = tokens - tokens.mean(0)
        covariance = rest.T @ rest / 50
        covariance += CONFIG.floor * np.trace(covariance) / 6 * np.eye(6)
        distance = np.sqrt(np.einsum("lf,fg,lg->l", rest, np.linalg.inv(covariance), rest) / 6)
        assert logits == pytest.approx(CONFIG.weight * (np.log(distance) - np.log(distance).mean()), abs=1e-3)


def test_the_one_patch_that_is_another_stands_out_whatever_the_unit():
    stem = correlated(1, 64, 8)
    stem[0, 17] += 30
    found = contrast_logits(stem, CONFIG)
    assert found[0].argmax() == 17
    assert torch.allclose(contrast_logits(1000 * stem, CONFIG), found, atol=1e-2)


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_in_a_blank_image_nothing_is_rare(value):
    assert contrast_logits(torch.full((1, 16, 4), value), CONFIG).abs().max() < 1e-5


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_token_that_is_no_number_spoils_its_own_image_alone(bad):
    stem = correlated(3, 16, 4)
    expected = contrast_logits(stem, CONFIG)
    stem[1, 5, 2] = bad
    found = contrast_logits(stem, CONFIG)
    assert torch.isnan(found[1]).all()
    assert torch.allclose(found[[0, 2]], expected[[0, 2]], atol=1e-5)


def test_a_method_with_contrast_draws_another_map_and_keeps_the_number():
    backbone, digest = tiny_backbone()
    plain = tiny_adapter(2)
    method = plain.manifest.method.model_copy(update={"contrast": CONFIG})
    manifest = plain.manifest.model_copy(update={"method": method})
    asking = type(plain)(manifest, plain.tensors, plain.prototypes)
    assert asking.id != plain.id
    detector = Detector(TorchEngine(backbone, digest, [plain, asking], torch.device("cpu")))
    torch.manual_seed(1)
    image = torch.randn(1, 3, detector.size, detector.size)
    plain_one, contrasted = detector.infer([Job(image, adapter.id, 0.0) for adapter in (plain, asking)])
    assert contrasted.margin == pytest.approx(plain_one.margin, rel=1e-5)
    (stem,) = backbone(image, [0])
    gain = contrast_logits(stem, CONFIG).view(1, 1, backbone.grid, -1)
    expected = torch.nn.functional.interpolate(gain, size=detector.size, mode="bilinear", align_corners=False)
    assert np.abs((contrasted.map - plain_one.map) - expected[0, 0].detach().numpy()).max() < 1e-4
