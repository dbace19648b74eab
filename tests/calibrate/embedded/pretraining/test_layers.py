"""The layers that train: they compute what the run time's layers compute, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from calibrate.embedded.pretraining.initialization import initialize_stem
from calibrate.embedded.pretraining.layers import CaptionEmbedding, TrainingNorm
from fbclip.backbone.stem import ConvStem, ImageNorm


def test_the_training_norm_has_the_output_and_the_gradients_of_the_plain_one() -> None:
    torch.manual_seed(0)
    x = 3 * torch.randn(4, 5, 6, 6) + torch.randn(4, 5, 1, 1)
    pull = torch.randn(4, 5, 6, 6)
    found = []
    for norm in (ImageNorm(5), TrainingNorm(5)):
        with torch.no_grad():
            norm.weight.copy_(torch.linspace(0.5, 2, 5))
            norm.bias.copy_(torch.linspace(-1, 1, 5))
        own = x.clone().requires_grad_()
        out = norm(own)
        (out * pull).sum().backward()
        assert own.grad is not None
        assert norm.weight.grad is not None
        assert norm.bias.grad is not None
        found.append((out.detach(), own.grad, norm.weight.grad, norm.bias.grad))
    for plain, fast in zip(*found, strict=True):
        assert torch.allclose(plain, fast, rtol=1e-4, atol=1e-4)


def test_the_training_norm_is_close_in_bfloat16() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 8, 8)
    rounded = TrainingNorm(5)(x.bfloat16())
    assert rounded.dtype == torch.bfloat16
    assert torch.allclose(rounded.float(), ImageNorm(5)(x), atol=0.06)


def test_an_initialized_stem_is_the_same_function_with_every_norm_the_fast_one() -> None:
    torch.manual_seed(0)
    stem = initialize_stem(ConvStem(24, 16))
    norms = [m for m in stem.modules() if isinstance(m, ImageNorm)]
    assert norms
    assert all(isinstance(norm, TrainingNorm) for norm in norms)
    plain = ConvStem(24, 16)
    plain.load_state_dict(stem.state_dict())
    images = torch.randn(2, 3, 64, 64)
    assert torch.allclose(stem(images), plain(images), atol=1e-4)


def test_known_words_are_looked_up_by_their_vocabulary_id_and_others_are_an_error() -> None:
    torch.manual_seed(0)
    embedding = CaptionEmbedding(torch.tensor([0, 7, 40]), 50, 3)
    whole = nn.Embedding(50, 3)
    with torch.no_grad():
        whole.weight[[0, 7, 40]] = embedding.weight
    ids = torch.tensor([[7, 0, 40], [40, 40, 7]])
    assert torch.equal(embedding(ids), whole(ids))
    with pytest.raises(IndexError):
        embedding(torch.tensor([[8]]))
