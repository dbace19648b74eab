"""Adapters on disk: whole, bound to their contents, and named errors for all else."""

import json

import pytest
import torch

from fbclip.artefacts.adapter import Adapter, load_adapter, save_adapter
from fbclip.errors import AdapterError
from tests.factories.models import tiny_adapter


def test_adapter_survives_the_disk_and_is_bound_to_its_contents(tmp_path):
    adapter = tiny_adapter(5)
    save_adapter(adapter, tmp_path / "a")
    loaded = load_adapter(tmp_path / "a")
    assert loaded.id == adapter.id
    text = (tmp_path / "a" / "adapter.json").read_text()
    (tmp_path / "a" / "adapter.json").write_text(text.replace('"temperature": 0.07', '"temperature": 0.08'))
    with pytest.raises(AdapterError, match="changed or damaged"):
        load_adapter(tmp_path / "a")


def test_a_field_that_a_later_version_adds_does_not_change_the_id(tmp_path):
    """As if `view` had not been known when the adapter was written."""
    adapter = tiny_adapter(5)
    dumped = adapter.manifest.model_dump(mode="json")
    bound = {name: dumped[name] for name in ("backbone", "backbone_sha256", "method")}
    del bound["method"]["view"]
    old = Adapter(adapter.manifest, adapter.tensors, adapter.prototypes, bound)
    save_adapter(old, tmp_path / "a")
    stored = json.loads((tmp_path / "a" / "adapter.json").read_text())
    del stored["method"]["view"]
    (tmp_path / "a" / "adapter.json").write_text(json.dumps(stored))
    loaded = load_adapter(tmp_path / "a")
    assert loaded.id == old.id
    assert loaded.manifest == adapter.manifest


def test_an_adapter_with_a_nan_is_refused(tmp_path):
    normal = tiny_adapter(5)
    name = next(iter(normal.tensors))
    broken = {**normal.tensors, name: torch.full_like(normal.tensors[name], float("nan"))}
    anomalous = Adapter(normal.manifest, broken, normal.prototypes)
    with pytest.raises(AdapterError, match="non-finite"):
        anomalous.head()


@pytest.mark.parametrize("content", [None, b"{}", b"not json", b'{"schema": "fbclip.adapter/1"}'])
def test_a_folder_that_is_no_adapter_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "adapter.json").write_bytes(content)
    with pytest.raises(AdapterError, match=str(tmp_path)):
        load_adapter(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1" * 5000, "", "\0"])
def test_a_manifest_that_no_parser_takes_is_one_line(tmp_path, text):
    save_adapter(tiny_adapter(5), tmp_path / "a")
    (tmp_path / "a" / "adapter.json").write_text(text)
    with pytest.raises(AdapterError) as caught:
        load_adapter(tmp_path / "a")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("key", ["x" * 100_000, "a\u2028b", "a\nb\x1b[31m"])
def test_what_a_damaged_manifest_quotes_is_short_and_can_be_printed(tmp_path, key):
    save_adapter(tiny_adapter(5), tmp_path / "a")
    path = tmp_path / "a" / "adapter.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: 1}))
    with pytest.raises(AdapterError) as caught:
        load_adapter(tmp_path / "a")
    text = str(caught.value)
    assert text.isprintable() and len(text) < len(str(tmp_path)) + 300


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_manifest_with_a_number_that_is_none_is_refused(tmp_path, number):
    save_adapter(tiny_adapter(5), tmp_path / "a")
    path = tmp_path / "a" / "adapter.json"
    path.write_text(path.read_text().replace('"temperature": 0.07', f'"temperature": {number}'))
    with pytest.raises(AdapterError, match=r"adapter\.json: "):
        load_adapter(tmp_path / "a")
