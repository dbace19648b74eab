"""Any path becomes text that can be stored and sent, and comes back as it was."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sources.path_text import to_path, to_text

NAMES = st.one_of(
    st.binary(min_size=1).map(lambda raw: raw.replace(b"\0", b"x")),
    st.lists(st.sampled_from([b"\\", b"u", b"udcfc", b"u005c", b"\xfc", b"a", b"\xc3\xbc"]), min_size=1).map(b"".join),
)


@given(NAMES)
def test_there_and_back(raw):
    path = Path(os.fsdecode(raw))
    text = to_text(path)
    assert to_path(text) == path
    assert json.loads(json.dumps(text)) == text and text.encode()


@pytest.mark.parametrize("name", ["a.png", "prüf\\teil.png", "\\u00fc", "C:\\users"])
def test_plain_names_stay_as_they_are(name):
    assert to_text(Path(name)) == name
