"""Who may do what on the page: roles, the tokens and the proxy that prove them, and sessions made of a token.

view: look. operate: also judge back, acknowledge, trigger. engineer: also switch lines, profiles and thresholds.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Literal

from agent.config.services import WebSection
from fbclip.errors import ConfigError

SHORTEST_TOKEN = 16
SESSION_S = 30 * 86_400
MOST_COOKIE_CHARS = 1024
MOST_NAME_CHARS = 64
PROXY_HEADER = "x-agent-proxy"


class Role(IntEnum):
    """Each may what those below it may."""

    VIEW = 1
    OPERATE = 2
    ENGINEER = 3

    @property
    def word(self) -> str:
        return self.name.lower()


OPERATES = frozenset({"feedback", "ack", "trigger"})


def role_for(verb: str) -> Role:
    """Who may give a command."""
    return Role.OPERATE if verb in OPERATES else Role.ENGINEER


@dataclass(frozen=True)
class Caller:
    """Who asks, and how that is known. `name`: None where nobody said it."""

    role: Role
    name: str | None = None
    via: Literal["open", "bearer", "cookie", "proxy"] = "open"


@dataclass(frozen=True)
class Access:
    """What proves a role. With nothing the page is open, which is for loopback only."""

    tokens: Mapping[Role, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    proxy_secret: str | None = field(default=None, repr=False)
    user_header: str = "x-forwarded-user"
    role_header: str = "x-forwarded-role"

    @property
    def is_open(self) -> bool:
        return not self.tokens and self.proxy_secret is None

    @property
    def strongest(self) -> str | None:
        """The token of the highest role."""
        return self.tokens[max(self.tokens)] if self.tokens else None

    def role_of(self, given: str) -> Role | None:
        """Of a token; every one is compared, each in constant time."""
        found = [role for role, token in self.tokens.items() if same(given, token)]
        return max(found, default=None)

    def from_proxy(self, header: Callable[[str], str | None]) -> Caller | None:
        """Who the proxy says it is; None where it is not the proxy that speaks."""
        given = header(PROXY_HEADER)
        if self.proxy_secret is None or given is None or not same(given, self.proxy_secret):
            return None
        word = (header(self.role_header) or "").strip().upper()
        role = Role[word] if word in Role.__members__ else Role.VIEW
        return Caller(role, plain_name(header(self.user_header)), "proxy")


def page_access(section: WebSection) -> Access:
    """Tokens and secret from their variables; raises ConfigError for one that is empty, short or used twice."""
    names = {
        Role.ENGINEER: ("token_env", section.token_env),
        Role.OPERATE: ("operate_token_env", section.operate_token_env),
        Role.VIEW: ("view_token_env", section.view_token_env),
    }
    tokens = {role: _from_environment(key, name) for role, (key, name) in names.items() if name}
    proxy = section.proxy
    secret = None if proxy is None else _from_environment("proxy.secret_env", proxy.secret_env)
    known = [*tokens.values(), *([secret] if secret else [])]
    if len(set(known)) < len(known):
        raise ConfigError("web: two roles have the same token, so it would not tell who may what")
    if proxy is None:
        return Access(MappingProxyType(tokens))
    return Access(MappingProxyType(tokens), secret, proxy.user_header.lower(), proxy.role_header.lower())


def _from_environment(key: str, name: str) -> str:
    token = os.environ.get(name, "")
    if not token:
        raise ConfigError(f"web.{key}: the environment variable {name} is not set")
    if len(token) < SHORTEST_TOKEN:
        raise ConfigError(f"web.{key}: the token in {name} has fewer than {SHORTEST_TOKEN} characters")
    return token


class Sessions:
    """Cookies that prove knowledge of a token without holding it; a new token ends those of the old one.

    They outlive a restart, so that a panel on a wall stays in. `clock`: seconds since 1970.
    """

    def __init__(self, access: Access, clock: Callable[[], float] = time.time) -> None:
        self._keys = {
            role: hmac.new(token.encode(), b"agent page session", hashlib.sha256).digest()
            for role, token in access.tokens.items()
        }
        self._clock = clock
        # What a form must bring along is known to the pages of this run only.
        self._csrf_key = secrets.token_bytes(32)

    def cookie(self, role: Role, name: str | None) -> str:
        """A new one."""
        body = json.dumps([int(role), int(self._clock()) + SESSION_S, name, secrets.token_urlsafe(8)]).encode()
        text = base64.urlsafe_b64encode(body).decode()
        return f"{text}.{self._sign(role, text)}"

    def read(self, cookie: str) -> Caller | None:
        """Whose it is; None for one that was not made here, or has run out."""
        text, _, signature = cookie[:MOST_COOKIE_CHARS].partition(".")
        try:
            role, ends, name, _ = json.loads(base64.urlsafe_b64decode(text.encode()))
            role = Role(role)
        except (ValueError, TypeError, binascii.Error, RecursionError):
            return None
        if role not in self._keys or not same(signature, self._sign(role, text)) or self._clock() > ends:
            return None
        return Caller(role, name, "cookie")

    def csrf(self, identity: Caller, cookie: str) -> str:
        """What a change from a browser must bring along, which no other site can read."""
        text = f"{identity.via}\0{identity.name}\0{cookie if identity.via == 'cookie' else ''}"
        return hmac.new(self._csrf_key, text.encode(), hashlib.sha256).hexdigest()

    def _sign(self, role: Role, text: str) -> str:
        return hmac.new(self._keys[role], text.encode(), hashlib.sha256).hexdigest()


def plain_name(text: str | None) -> str | None:
    """One short printable line, None where nothing is left."""
    name = "".join(c for c in (text or "") if c.isprintable()).strip()[:MOST_NAME_CHARS]
    return name or None


def same(given: str, expected: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass"))
