"""Tokens of a memory are as defined."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fbclip.backbone.config import EMBEDDED, VIT_L_14_336
from fbclip.memory.features import MemoryConfig, default_config, memory_features


def plain_features(layers, config):
    """The definition in float64 loops: (B,N,C) each -> (B,L,K·C). By the cosine."""
    batch, count, width = layers[0].shape
    side = int((count - 1) ** 0.5)
    parts = [(tokens, around // 2) for tokens in layers for around in config.neighbourhood]
    out = np.zeros((batch, side * side, width * len(parts)))
    for k, (tokens, reach) in enumerate(parts):
        patches = tokens[:, 1:].double().numpy().reshape(batch, side, side, width)
        for row in range(side):
            for column in range(side):
                rows = slice(max(0, row - reach), row + reach + 1)
                columns = slice(max(0, column - reach), column + reach + 1)
                mean = patches[:, rows, columns].mean(axis=(1, 2))
                mean /= np.linalg.norm(mean, axis=1, keepdims=True)
                out[:, row * side + column, k * width : (k + 1) * width] = mean / len(parts) ** 0.5
    return out


@pytest.mark.parametrize(
    ("neighbourhood", "layers", "side"), [((1,), 1, 4), ((3,), 2, 5), ((5,), 3, 3), ((3,), 1, 1), ((1, 5), 2, 4)]
)
def test_features_are_as_defined(neighbourhood, layers, side):
    torch.manual_seed(1)
    tokens = [torch.randn(2, 1 + side * side, 6) * (1 + k) for k in range(layers)]
    config = MemoryConfig(layers=tuple(range(1, layers + 1)), neighbourhood=neighbourhood)
    found = memory_features(dict(enumerate(tokens, 1)), config)
    assert found.dtype == torch.float32
    assert np.abs(found.numpy() - plain_features(tokens, config)).max() < 1e-6
    assert (torch.linalg.vector_norm(found, dim=-1) - 1).abs().max() < 1e-6


@pytest.mark.parametrize(
    "bad",
    [
        {"layers": ()},
        {"layers": (2, 1)},
        {"layers": (-1,)},
        {"layers": (1,), "metric": "manhattan"},
        {"layers": (1,), "neighbourhood": 2},
        {"layers": (1,), "neighbourhood": ()},
        {"layers": (1,), "neighbourhood": (3, 1)},
        {"layers": (1,), "neighbourhood": (-1,)},
        {"layers": (1,), "neighbourhood": (33,)},
        {"layers": (1,), "reach": -1},
        {"layers": (1,), "nearest": "each", "metric": "mahalanobis"},
        {"features": "imagenet", "layers": (4, 8)},
        {"features": "photographs", "layers": (8,)},
    ],
)
def test_configs_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValidationError):
        MemoryConfig(**bad)


def test_the_defaults_are_imagenet_beside_the_embedded_model_and_the_quarters_of_a_vit():
    assert default_config(EMBEDDED) == MemoryConfig(features="imagenet", layers=(8, 16))
    deep = default_config(VIT_L_14_336)
    assert deep == MemoryConfig(layers=(6, 12, 18, 24), neighbourhood=(1, 3), nearest="each")
    assert default_config(VIT_L_14_336.model_copy(update={"layers": 12})).layers == (3, 6, 9, 12)
    assert default_config(VIT_L_14_336.model_copy(update={"layers": 2})).layers == (1, 2)
    assert default_config(VIT_L_14_336, "imagenet") == default_config(EMBEDDED)
