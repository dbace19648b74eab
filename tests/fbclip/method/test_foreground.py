"""The foreground mask equals the plain formula."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fbclip.method.config import ForegroundConfig
from fbclip.method.foreground import foreground_mask
from tests.factories import plain_formulas as plain
from tests.factories.models import tokens_and_mask

SIDES = st.integers(2, 7)

WIDTHS = st.integers(2, 9)

SEEDS = st.integers(0, 2**31)


@given(side=st.integers(3, 6), width=WIDTHS, seed=SEEDS)
@settings(max_examples=25, deadline=None)
def test_foreground_equals_the_plain_formula(side, width, seed):
    previous, _ = tokens_and_mask(side, width, seed, "mixed")
    tokens, _ = tokens_and_mask(side, width, seed + 1, "mixed")
    fast = foreground_mask(tokens, previous, ForegroundConfig())
    slow = torch.stack([plain.foreground(t, p) for t, p in zip(tokens, previous, strict=True)])
    # A hard step: only places that sit on it to within float32 may differ.
    assert (fast.double() != slow).sum() <= 1
