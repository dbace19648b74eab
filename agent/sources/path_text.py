"""A path as text that every database, message and page can hold, and back.

A file name is bytes; Python shows those that are not UTF-8 as lone surrogates, which nothing else accepts. Here they
are written as `\\udcXX`; a name that holds this very text has its backslash written as `\\u005c`.
"""

from __future__ import annotations

import re
from pathlib import Path

_LONE = re.compile(r"[\ud800-\udfff]|\\(?=u(?:d[89a-f][0-9a-f]{2}|005c))")
_ESCAPED = re.compile(r"\\u(d[89a-f][0-9a-f]{2}|005c)")


def to_text(path: Path) -> str:
    """Valid Unicode, the path itself unless it holds bytes that are not UTF-8."""
    return _LONE.sub(lambda found: f"\\u{ord(found.group()):04x}", str(path))


def to_path(text: str) -> Path:
    """The path that `to_text` wrote."""
    return Path(_ESCAPED.sub(lambda found: chr(int(found.group(1), 16)), text))
