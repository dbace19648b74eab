"""Addresses of cameras: what in them may be a secret, and how they are shown.

Nothing is taken for granted: passwords hold `/`, `?` and `@` unescaped, cameras take them in the path, and an address
may lack its scheme. Where an address can be read in two ways, the one with a password counts.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# As `user=admin&password=x`, in a query, a fragment or the path.
_SECRET_VALUE = re.compile(
    r"(?:^|[^a-z0-9])(?:[a-z0-9]+[_-])?"
    r"(?:pass|passwd|password|passwort|passphrase|pwd|psw|pw|secret|token|auth|key|apikey|accesskey|credentials?|sig|signature)"
    r"\s*[=:]\s*[^&;/\s]",
    re.IGNORECASE,
)
HIDDEN = "***"


def holds_password(address: str) -> bool:
    """Whether an address may hold a password, a token or a key, however it is written."""
    return any(_holds_password(text) for text in (address, unquote(address)))


def _holds_password(address: str) -> bool:
    scheme = _SCHEME.match(address)
    rest = address[scheme.end() :] if scheme else address
    before, at, _ = rest.rpartition("@")
    # Without a proper scheme it is open where the user's name begins.
    userinfo = bool(at) and (scheme is None or ":" in before)
    return userinfo or _SECRET_VALUE.search(rest) is not None


def redact(address: str) -> str:
    """An address for people: scheme, host, and as much of the path as cannot be a secret."""
    scheme = _SCHEME.match(address)
    start = scheme.group() if scheme else ""
    _, at, rest = address[len(start) :].rpartition("@")
    host, *path = re.split(r"[?#&;\s]", rest, maxsplit=1)[0].split("/")
    shown = [start, HIDDEN + "@" if at else "", HIDDEN if "=" in host else host]
    for part in path:
        # A value in the path is followed by others.
        shown.append("/" + (HIDDEN if "=" in part else part))
        if "=" in part:
            break
    return "".join(shown)
