"""Whitening against its definition, and the distance it makes against the plain Mahalanobis distance."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fbclip.memory.whitening import FLOOR, fit_whitening


def correlated(count: int, width: int) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(count, width) @ torch.randn(width, width) + torch.arange(width)


def test_a_distance_of_whitened_tokens_is_the_mahalanobis_distance():
    tokens = correlated(20_000, 6)
    whitening = fit_whitening(tokens)
    covariance = np.cov(tokens.double().numpy().T, bias=True)
    covariance += FLOOR * np.trace(covariance) / 6 * np.eye(6)
    one, two = tokens[3], tokens[77]
    step = (one - two).double().numpy()
    plain = np.sqrt(step @ np.linalg.inv(covariance) @ step / 6)
    assert torch.dist(whitening(one), whitening(two)).item() == pytest.approx(plain, rel=1e-4)


def test_whitened_tokens_lie_around_zero_and_vary_alike():
    tokens = correlated(5000, 4)
    found = fit_whitening(tokens)(tokens)
    assert found.dtype == torch.float32
    assert found.mean(0).abs().max() < 1e-4
    assert found.square().sum(1).mean() < 1
    spread = found.std(0)
    assert spread.max() / spread.min() < 1.5 < (tokens.std(0).max() / tokens.std(0).min())


def test_turned_tokens_have_the_same_distances():
    """A whitening does not depend on the axes in which tokens are given."""
    tokens = correlated(500, 5)
    turn, _ = torch.linalg.qr(torch.randn(5, 5))
    plain, turned = fit_whitening(tokens)(tokens), fit_whitening(tokens @ turn)(tokens @ turn)
    assert torch.allclose(torch.cdist(plain, plain), torch.cdist(turned, turned), atol=1e-3)


@pytest.mark.parametrize("tokens", [torch.full((3, 4), 2.0), torch.full((1, 4), -1.0)])
def test_tokens_without_any_variance_still_have_one(tokens):
    assert torch.isfinite(fit_whitening(tokens)(tokens + 0.1)).all()


def test_nothing_cannot_be_whitened():
    with pytest.raises(ValueError, match="no whitening"):
        fit_whitening(torch.zeros(0, 4))
