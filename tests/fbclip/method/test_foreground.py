"""The foreground mask equals the plain formula."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fbclip.method.config import ForegroundConfig
from fbclip.method.foreground import foreground_mask
from tests.factories import plain_formulas as plain

SIDES = st.integers(2, 7)

WIDTHS = st.integers(2, 9)

SEEDS = st.integers(0, 2**31)


def tokens_and_mask(side: int, width: int, seed: int, kind: str, batch: int = 2):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(batch, 1 + side * side, width, generator=generator, dtype=torch.float64) * 3
    mask = torch.where(torch.rand(batch, side * side, generator=generator) > 0.5, 1.0, 0.5).double()
    if kind == "ones":
        mask = torch.ones_like(mask)
    if kind == "halves":
        mask = torch.full_like(mask, 0.5)
    return tokens, mask


@given(side=st.integers(3, 6), width=WIDTHS, seed=SEEDS)
@settings(max_examples=25, deadline=None)
def test_foreground_equals_the_plain_formula(side, width, seed):
    previous, _ = tokens_and_mask(side, width, seed, "mixed")
    tokens, _ = tokens_and_mask(side, width, seed + 1, "mixed")
    fast = foreground_mask(tokens, previous, ForegroundConfig())
    slow = torch.stack([plain.foreground(t, p) for t, p in zip(tokens, previous, strict=True)])
    # A hard step: only places that sit on it to within float32 may differ.
    assert (fast.double() != slow).sum() <= 1
