"""Checkpoints: read without running code, and foreign ones are named."""

import pytest

from fbclip.artefacts.checkpoint import read_checkpoint
from fbclip.errors import AdapterError


@pytest.mark.parametrize("content", [b"", b"hi\n", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04 cut", bytes(range(256)) * 8])
def test_a_file_of_another_kind_is_no_checkpoint(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(AdapterError, match="not a readable checkpoint"):
        read_checkpoint(tmp_path / "x.pth")
