"""The losses are the formulas of section 7 of the method."""

import pytest
import torch

from calibrate.tuning.losses import dice, focal


def test_losses_are_the_formulas():
    p, t = torch.tensor([0.9, 0.2]), torch.tensor([1.0, 1.0])
    by_hand = (-(torch.log(p)) * (1 - p) ** 4).mean()
    assert focal(p, t) == pytest.approx(by_hand.item())
    m = torch.tensor([[[1.0, 0.0]]])
    assert dice(m, m) == 0.0
    assert dice(1 - m, m).item() == pytest.approx(1 - 1 / 3)
