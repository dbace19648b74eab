"""The fast forms equal the plain formulas, in float64, for any tokens and masks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fbclip.method.config import ViewConfig
from fbclip.method.views import layer_views, semantic_mix, spatial_view
from tests.factories import plain_formulas as plain
from tests.factories.models import tokens_and_mask

SIDES = st.integers(2, 7)
WIDTHS = st.integers(2, 9)
SEEDS = st.integers(0, 2**31)


def semantic_view(tokens: torch.Tensor, mask: torch.Tensor, config: ViewConfig) -> torch.Tensor:
    return semantic_mix(tokens, mask, config).view(tokens)


@pytest.mark.parametrize("config", [ViewConfig(), ViewConfig(semantic_mix=0.3, spatial_window=3)])
@pytest.mark.parametrize("kind", ["mixed", "ones", "halves"])
@given(side=SIDES, width=WIDTHS, seed=SEEDS)
@settings(max_examples=25, deadline=None)
def test_views_equal_the_plain_formulas(config, kind, side, width, seed):
    tokens, mask = tokens_and_mask(side, width, seed, kind)
    for index in range(len(tokens)):
        slow = plain.semantic(tokens[index], mask[index], config.semantic_mix)
        assert (semantic_view(tokens, mask, config)[index] - slow).abs().max() <= 1e-10
        slow = plain.spatial(tokens[index], mask[index], config.spatial_window // 2)
        assert (spatial_view(tokens, mask, config)[index] - slow).abs().max() <= 1e-10


def test_zero_tokens_give_finite_views():
    tokens = torch.zeros(1, 17, 4)
    mask = torch.full((1, 16), 0.5)
    for view in (semantic_view, spatial_view):
        assert torch.isfinite(view(tokens, mask, ViewConfig())).all()


def test_cls_passes_through():
    tokens, mask = tokens_and_mask(4, 5, 0, "mixed")
    for view in (semantic_view, spatial_view):
        assert torch.equal(view(tokens, mask, ViewConfig())[:, 0], tokens[:, 0])


def test_the_views_that_are_named_come_in_their_order():
    tokens, mask = tokens_and_mask(4, 5, 0, "mixed")
    found = layer_views(tokens, mask, ("spatial", "identity", "semantic"), ViewConfig())
    assert list(found.views) == ["spatial", "identity", "semantic"]
    assert torch.equal(found.of("spatial"), spatial_view(tokens, mask, ViewConfig()))
    assert torch.equal(found.of("semantic"), semantic_view(tokens, mask, ViewConfig()))
    assert found.of("identity") is tokens
