"""Memories on disk: files that are whole, and what is wrong is named."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from fbclip.errors import MemoryBankError
from fbclip.memory.bank import Memory, load_memory, save_memory, stored_memory_id
from tests.factories.models import tiny_memory


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
        (lambda m: {"tokens": m.tokens[:0], "positions": m.positions[:0]}, r"\(M,F\)"),
        (lambda m: {"positions": m.positions[:-1]}, r"\(40,2\)"),
        (lambda m: {"positions": m.positions.float()}, "int16"),
        (lambda m: {"positions": m.positions - 9}, "negative"),
    ],
)
def test_tensors_that_are_no_memory_are_neither_written_nor_read(tmp_path, change, problem):
    normal = tiny_memory()
    changed = {"tokens": normal.tokens, "positions": normal.positions} | change(normal)
    with pytest.raises(MemoryBankError, match=problem):
        save_memory(Memory(normal.manifest, **changed), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    save_memory(normal, tmp_path / "m")
    stored = {"tokens": changed["tokens"], "places": changed["positions"]}
    save_file(stored, tmp_path / "m" / "memory.safetensors")
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
