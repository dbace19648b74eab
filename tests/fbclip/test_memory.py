"""Memories: tokens as defined, distances as by brute force, files that are whole, and what does not fit is named."""

import json
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from fbclip.cli import app
from fbclip.detector import Detector
from fbclip.errors import MemoryBankError
from fbclip.memory.bank import (
    Memory,
    MemoryConfig,
    MemoryManifest,
    load_memory,
    memory_features,
    save_memory,
    stored_memory_id,
)
from fbclip.memory.index import MemoryIndex, image_distance, nearest_distance, uncovered
from fbclip.memory.whitening import fit_whitening
from tests.conftest import TINY, tiny_adapter, tiny_backbone

CPU = torch.device("cpu")


def unit(*shape: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape), dim=-1)


def tiny_memory(seed: int = 0, count: int = 40, **changes) -> Memory:
    """Random memory for the tiny backbone: 4 x 4 patches of 16 numbers a layer."""
    asked = {name: changes.pop(name) for name in ("layers", "reach", "metric") if name in changes}
    config = MemoryConfig(**({"layers": (1, 2)} | asked))
    values = {"backbone": "embedded", "backbone_sha256": tiny_backbone()[1], "image_size": 32, "config": config}
    torch.manual_seed(seed)
    positions = torch.cat((torch.cartesian_prod(torch.arange(4), torch.arange(4)), torch.randint(4, (count, 2))))
    width = TINY.width * len(config.layers)
    tokens = unit(count, width).half()
    whitening = fit_whitening(torch.randn(60, width)) if config.metric == "mahalanobis" else None
    return Memory(MemoryManifest(**(values | changes)), tokens, positions[:count].to(torch.int16), whitening)


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


def plain_distance(features, memory, positions, reach):
    features, memory = features.double().numpy(), memory.double().numpy()
    side = int(features.shape[1] ** 0.5)
    out = np.full(features.shape[:2], np.inf)
    for image, image in enumerate(features):
        for index, token in enumerate(image):
            for other, place in zip(memory, positions.tolist(), strict=True):
                away = max(abs(place[0] - index // side), abs(place[1] - index % side))
                if reach is None or away <= reach:
                    out[image, index] = min(out[image, index], np.linalg.norm(token - other))
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


@given(
    seed=st.integers(0, 1000),
    batch=st.integers(1, 3),
    side=st.integers(1, 5),
    width=st.integers(1, 9),
    count=st.integers(1, 30),
    reach=st.one_of(st.none(), st.integers(0, 5)),
    block=st.sampled_from([1, 3, 7, 2048]),
    draw=st.sampled_from([unit, torch.randn]),
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
    lookup = MemoryIndex(memory, CPU)
    features = torch.nn.functional.normalize(memory.tokens[:16].float(), dim=1)[None]
    assert nearest_distance(features, lookup._tokens).max() < 1e-3
    for reach in (None, 1):
        broken = features.clone()
        broken[0, 3, 0] = float("nan")
        found = nearest_distance(broken, lookup._tokens, memory.positions, reach)
        assert torch.isnan(found[0]).nonzero().tolist() == [[3]]
        assert torch.isnan(image_distance(found)).all()
    with pytest.raises(ValueError, match="places"):
        nearest_distance(features, lookup._tokens, None, 1)


def test_an_image_speaks_with_its_farthest_fiftieth():
    distances = torch.arange(250.0)[torch.randperm(250)][None]
    assert image_distance(distances).tolist() == [247.0]
    assert image_distance(torch.tensor([[1.0, 3.0, 2.0]])).tolist() == [3.0]


def test_a_memory_survives_the_disk_and_its_id_covers_its_contents(tmp_path):
    memory = tiny_memory(reach=2, provenance={"line": "belt"})
    save_memory(memory, tmp_path / "m")
    loaded = load_memory(tmp_path / "m")
    assert loaded.id == memory.id == stored_memory_id(tmp_path / "m")
    assert loaded.manifest == memory.manifest
    assert torch.equal(loaded.tokens, memory.tokens)
    assert torch.equal(loaded.positions, memory.positions)
    assert loaded.positions.dtype == torch.int16
    assert tiny_memory(reach=2).id == memory.id
    others = [tiny_memory(), tiny_memory(1, reach=2), tiny_memory(reach=2, image_size=64)]
    assert len({memory.id, *(other.id for other in others)}) == 4


def test_a_field_that_a_later_version_adds_does_not_change_the_id(tmp_path):
    """As if `reach`, `metric` and several neighbourhoods had not been known when the memory was written."""
    memory = tiny_memory()
    dumped = memory.manifest.model_dump(mode="json")
    bound = {name: dumped[name] for name in ("backbone", "backbone_sha256", "image_size", "config")}
    del bound["config"]["reach"], bound["config"]["metric"]
    bound["config"]["neighbourhood"] = 3
    old = Memory(memory.manifest, memory.tokens, memory.positions, bound=bound)
    save_memory(old, tmp_path)
    stored = json.loads((tmp_path / "memory.json").read_text())
    stored["config"] = bound["config"]
    (tmp_path / "memory.json").write_text(json.dumps(stored))
    assert load_memory(tmp_path).id == old.id


def test_a_changed_memory_is_refused(tmp_path):
    save_memory(tiny_memory(), tmp_path)
    text = (tmp_path / "memory.json").read_text()
    (tmp_path / "memory.json").write_text(re.sub(r'"neighbourhood": \[\s*3', '"neighbourhood": [5', text))
    with pytest.raises(MemoryBankError, match="changed or damaged"):
        load_memory(tmp_path)
    (tmp_path / "memory.json").write_text(text)
    tensors = load_file(tmp_path / "memory.safetensors")
    save_file({**tensors, "places": tensors["places"].flip(0)}, tmp_path / "memory.safetensors")
    with pytest.raises(MemoryBankError, match="changed or damaged"):
        load_memory(tmp_path)
    whole = (tmp_path / "memory.safetensors").read_bytes()
    (tmp_path / "memory.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MemoryBankError, match="cannot be read"):
        load_memory(tmp_path)


@pytest.mark.parametrize("content", [None, b"{}", b"not json", b'{"schema": "fbclip.memory/1"}', b"\xff\xfe"])
def test_a_folder_that_is_no_memory_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "memory.json").write_bytes(content)
    for read in (load_memory, stored_memory_id):
        with pytest.raises(MemoryBankError, match=str(tmp_path)):
            read(tmp_path)


def nan_in(tokens):
    return tokens.index_fill(0, torch.tensor([3]), float("nan"))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda m: {"tokens": nan_in(m.tokens)}, "non-finite"),
        (lambda m: {"tokens": m.tokens * 1.01}, "length 1"),
        (lambda m: {"tokens": m.tokens.float()}, "float16"),
        (lambda m: {"tokens": m.tokens[:0], "places": m.positions[:0]}, r"\(M,F\)"),
        (lambda m: {"places": m.positions[:-1]}, r"\(40,2\)"),
        (lambda m: {"places": m.positions.float()}, "int16"),
        (lambda m: {"places": m.positions - 9}, "negative"),
    ],
)
def test_tensors_that_are_no_memory_are_neither_written_nor_read(tmp_path, change, problem):
    normal = tiny_memory()
    changed = {"tokens": normal.tokens, "places": normal.positions} | change(normal)
    with pytest.raises(MemoryBankError, match=problem):
        save_memory(Memory(normal.manifest, **changed), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    save_memory(normal, tmp_path / "m")
    save_file(changed, tmp_path / "m" / "memory.safetensors")
    with pytest.raises(MemoryBankError, match=problem):
        load_memory(tmp_path / "m")


def test_a_whitened_memory_survives_the_disk_and_needs_its_whitening(tmp_path):
    memory = tiny_memory(metric="mahalanobis")
    save_memory(memory, tmp_path / "m")
    loaded = load_memory(tmp_path / "m")
    assert loaded.id == memory.id != tiny_memory().id
    assert torch.equal(loaded.whitening.matrix, memory.whitening.matrix)
    assert torch.equal(loaded.whitening.centre, memory.whitening.centre)
    path = tmp_path / "m" / "memory.safetensors"
    tensors = load_file(path)
    for change, problem in (
        ({"whitening": tensors["whitening"][:-1]}, r"whitening is \(31, 32\)"),
        ({"centre": tensors["centre"].half()}, r"centre is \(32,\) float16"),
        ({"whitening": tensors["whitening"] * float("nan")}, "whitening holds a non-finite"),
        ({"centre": tensors["centre"] + 1}, "changed or damaged"),
    ):
        save_file(tensors | change, path)
        with pytest.raises(MemoryBankError, match=problem):
            load_memory(tmp_path / "m")
    save_file({name: tensors[name] for name in ("tokens", "places")}, path)
    with pytest.raises(MemoryBankError, match="needs tokens, places, centre, whitening"):
        load_memory(tmp_path / "m")


def test_tensors_of_other_names_are_refused(tmp_path):
    save_memory(tiny_memory(), tmp_path)
    save_file({"tokens": tiny_memory().tokens}, tmp_path / "memory.safetensors")
    with pytest.raises(MemoryBankError, match="needs tokens, places"):
        load_memory(tmp_path)
    (tmp_path / "memory.safetensors").unlink()
    with pytest.raises(MemoryBankError, match="is missing"):
        load_memory(tmp_path)


@pytest.mark.parametrize(
    ("memory", "problem"),
    [
        (lambda: tiny_memory(backbone_sha256="f" * 64), "f{12}.*loaded are embedded weights [0-9a-f]{12}"),
        (lambda: tiny_memory(image_size=64), "64 px, the backbone runs at 32 px"),
        (lambda: tiny_memory(layers=(1, 4)), "block 4, the backbone has 3"),
        (lambda: tiny_memory(count=3, reach=0), "reach 0 of 13 patches"),
    ],
)
def test_a_memory_for_another_model_is_refused_with_both_values(memory, problem):
    backbone, digest = tiny_backbone()
    with pytest.raises(MemoryBankError, match=problem):
        Detector(backbone, digest, [tiny_adapter(2)], CPU, memories=[memory()])


def test_tokens_of_another_width_are_refused():
    normal = tiny_memory()
    torch.manual_seed(0)
    backbone, digest = tiny_backbone()
    wrong = Memory(normal.manifest, unit(40, 16).half(), normal.positions)
    with pytest.raises(MemoryBankError, match="16 numbers, its layers give 32"):
        Detector(backbone, digest, [tiny_adapter(2)], CPU, memories=[wrong])


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
    ],
)
def test_configs_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValidationError):
        MemoryConfig(**bad)


def test_bench_times_a_memory_inside_the_forward():
    arguments = ["bench", "--repeats", "1", "--device", "cpu", "--random-weights", "--size", "128", "--memory", "50"]
    answer = CliRunner().invoke(app, [*arguments, "--json"])
    assert answer.exit_code == 0, answer.output
    result = json.loads(answer.stdout)
    assert result["memory_tokens"] == 50
    assert 0 < result["stages"]["memory"] < result["forward_ms"]
    assert "a memory of 50 tokens adds" in CliRunner().invoke(app, arguments).output
