"""Patterns of names: by the name, or with a slash by the path below the folder; case does not count."""

from pathlib import PurePath

import pytest

from agent.sources.folder_filter import FolderFilter


@pytest.mark.parametrize(
    ("include", "ignore", "path", "taken"),
    [
        ((), (), "a.png", True),
        (("*.png",), (), "lot/A.PNG", True),
        (("*.png",), (), "a.jpg", False),
        (("lot/*.png",), (), "lot/deep/a.png", True),
        (("lot/*.png",), (), "a.png", False),
        ((), ("*_thumb.*",), "lot/a_thumb.png", False),
        (("*.png",), ("test/*",), "test/a.png", False),
    ],
)
def test_patterns(include, ignore, path, taken):
    assert FolderFilter(include, ignore).takes(PurePath(path)) is taken
