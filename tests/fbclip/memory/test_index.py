"""Distances are as by brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fbclip.memory.bank import Memory
from fbclip.memory.features import MemoryConfig, memory_features
from fbclip.memory.index import MemoryIndex, image_distance, nearest_distance, uncovered
from tests.factories.models import tiny_memory, unit_rows

CPU = torch.device("cpu")


def plain_distance(features, memory, positions, reach):
    features, memory = features.double().numpy(), memory.double().numpy()
    side = int(features.shape[1] ** 0.5)
    out = np.full(features.shape[:2], np.inf)
    for image, patches in enumerate(features):
        for index, token in enumerate(patches):
            for other, position in zip(memory, positions.tolist(), strict=True):
                away = max(abs(position[0] - index // side), abs(position[1] - index % side))
                if reach is None or away <= reach:
                    out[image, index] = min(out[image, index], np.linalg.norm(token - other))
    return out


@given(
    seed=st.integers(0, 1000),
    batch=st.integers(1, 3),
    side=st.integers(1, 5),
    width=st.integers(1, 9),
    count=st.integers(1, 30),
    reach=st.one_of(st.none(), st.integers(0, 5)),
    block=st.sampled_from([1, 3, 7, 2048]),
    draw=st.sampled_from([unit_rows, torch.randn]),
)
@settings(max_examples=120, deadline=None)
def test_distances_equal_brute_force(seed, batch, side, width, count, reach, block, draw):
    torch.manual_seed(seed)
    features, memory = draw(batch, side * side, width), draw(count, width)
    positions = torch.randint(side, (count, 2), dtype=torch.uint8)
    found = nearest_distance(features, memory, positions, reach, block)
    plain = plain_distance(features, memory, positions, reach)
    # float32 squares are good to 1e-7 or so of the largest, of which the distance takes the root.
    assert np.array_equal(np.isinf(found.numpy()), np.isinf(plain))
    near = np.isfinite(plain)
    largest = max(1, features.square().sum(-1).max().item(), memory.square().sum(-1).max().item())
    assert np.abs(found.numpy()[near] ** 2 - plain[near] ** 2).max(initial=0) < 2e-6 * largest
    assert np.abs(found.numpy()[near] - plain[near]).max(initial=0) < 1e-3 * largest
    if reach is not None:
        away = [
            [(positions.long() - torch.tensor([r, c])).abs().amax(1).amin().item() for c in range(side)]
            for r in range(side)
        ]
        assert uncovered(positions, side, reach) == int((np.array(away) > reach).sum())


def test_a_token_of_the_memory_is_near_and_a_nan_is_not_lost():
    memory = tiny_memory()
    index = MemoryIndex(memory, CPU)
    features = torch.nn.functional.normalize(memory.tokens[:16].float(), dim=1)[None]
    assert nearest_distance(features, index._tokens).max() < 1e-3
    for reach in (None, 1):
        broken = features.clone()
        broken[0, 3, 0] = float("nan")
        found = nearest_distance(broken, index._tokens, memory.positions, reach)
        assert torch.isnan(found[0]).nonzero().tolist() == [[3]]
        assert torch.isnan(image_distance(found, 50)).all()
    with pytest.raises(ValueError, match="positions"):
        nearest_distance(features, index._tokens, None, 1)


@pytest.mark.parametrize("reach", [None, 1])
def test_nearest_each_averages_the_distances_of_every_layer_and_neighbourhood(reach):
    torch.manual_seed(3)
    config = MemoryConfig(layers=(1, 2), neighbourhood=(1, 3), nearest="each", reach=reach)
    known, asked = ({k: torch.randn(1, 17, 6) for k in config.layers} for _ in range(2))
    positions = torch.cartesian_prod(torch.arange(4), torch.arange(4)).to(torch.uint8)
    manifest = tiny_memory().manifest.model_copy(update={"config": config})
    tokens = memory_features(known, config)[0]
    index = MemoryIndex(Memory(manifest, tokens.half(), positions), CPU)
    rows = torch.nn.functional.normalize(tokens.half().float(), dim=1)
    features = memory_features(asked, config)
    parts = [plain_distance(features[..., k : k + 6], rows[:, k : k + 6], positions, reach) for k in range(0, 24, 6)]
    expected = np.sqrt(np.square(parts).sum(axis=0))
    assert np.abs(index.distances(asked).flatten(1).numpy() - expected).max() < 1e-3
    joint = MemoryIndex(Memory(manifest.model_copy(update={"config": config.model_copy(update={"nearest": "joint"})}),
                               tokens.half(), positions), CPU)  # fmt: skip
    assert (joint.distances(asked) >= index.distances(asked) - 1e-5).all()


def test_the_distance_of_an_image_is_that_of_its_farthest_tokens():
    distances = torch.arange(250.0)[torch.randperm(250)][None]
    assert image_distance(distances, 50).tolist() == [247.0]
    assert image_distance(torch.tensor([[1.0, 3.0, 2.0]]), 50).tolist() == [3.0]
