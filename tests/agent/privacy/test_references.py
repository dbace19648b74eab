"""References: keyed, stable, and made with a key that nobody else can read."""

import pytest

from agent.errors import StoreError
from agent.privacy.references import KEY_NAME, open_references, read_references


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path):
    first = open_references(tmp_path)
    key = tmp_path / KEY_NAME
    assert key.stat().st_mode & 0o777 == 0o600 and len(key.read_bytes()) == 32
    assert [path.name for path in tmp_path.iterdir()] == [KEY_NAME]
    same = ("ct", "/in/Miller^Anna.dcm", "ab" * 32)
    assert open_references(tmp_path).of(*same) == read_references(tmp_path).of(*same) == first.of(*same)
    assert key.read_bytes().hex() not in repr(first)


def test_a_reference_tells_line_path_and_content_apart(tmp_path):
    references = open_references(tmp_path)
    (tmp_path / "other").mkdir()
    other = open_references(tmp_path / "other")
    base = references.of("ct", "/in/a", "ab")
    assert len({base, references.of("mr", "/in/a", "ab"), references.of("ct", "/in/b", "ab")}) == 3
    assert base not in {references.of("ct", "/in/a", "cd"), other.of("ct", "/in/a", "ab")}


@pytest.mark.parametrize(("content", "mode", "text"), [(b"short", 0o600, "no key"), (b"k" * 32, 0o644, "chmod 600")])
def test_a_key_that_is_none_or_open_to_others_is_refused(tmp_path, content, mode, text):
    key = tmp_path / KEY_NAME
    key.write_bytes(content)
    key.chmod(mode)
    with pytest.raises(StoreError, match=text):
        open_references(tmp_path)


def test_resolving_makes_no_key(tmp_path):
    with pytest.raises(StoreError, match="cannot be read"):
        read_references(tmp_path)
    assert not list(tmp_path.iterdir())
