"""Who may look: a token everywhere but on loopback, and on loopback only under a local name."""

from __future__ import annotations

import hashlib
import hmac
import math
import os
import re
import time
from collections import deque
from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.config.services import WebSection
from fbclip.errors import ConfigError

COOKIE = "agent_session"
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
SHORTEST_TOKEN = 16
MOST_GUESSES = 10
GUESSES_WINDOW_S = 60.0
MOST_ADDRESSES = 1000
_LOCAL_HOST = re.compile(r"^(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(:\d{1,5})?$", re.IGNORECASE)
HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def page_token(section: WebSection) -> str | None:
    """The page's token from its variable; raises ConfigError when the variable is named but empty."""
    name = section.token_env
    token = os.environ.get(name, "") if name else None
    if name and not token:
        raise ConfigError(f"web.token_env: the environment variable {name} is not set")
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise ConfigError(f"web.token_env: the token in {name} has fewer than {SHORTEST_TOKEN} characters")
    return token


class Guesses:
    """Wrong tokens of each address; after too many it has to wait. Used by one thread."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._wrong: dict[str, deque[float]] = {}

    def wrong(self, address: str) -> None:
        """One more."""
        if len(self._wrong) >= MOST_ADDRESSES and address not in self._wrong:
            # The one that was quiet for longest; an attacker with so many addresses meets a long token.
            del self._wrong[min(self._wrong, key=lambda one: self._wrong[one][-1])]
        self._wrong.setdefault(address, deque(maxlen=MOST_GUESSES)).append(self._monotonic())

    def wait_s(self, address: str) -> float:
        """Seconds until the address may try again, 0 if it may now."""
        times = self._wrong.get(address)
        if times is None or len(times) < MOST_GUESSES:
            return 0.0
        return max(0.0, times[0] + GUESSES_WINDOW_S - self._monotonic())


class Guard:
    """ASGI middleware. `token` None leaves the page open, which is for loopback only."""

    def __init__(self, app: ASGIApp, loopback: bool, token: str | None, guesses: Guesses | None = None) -> None:
        if not loopback and not token:
            raise ValueError("an address other than loopback needs a token")
        self._app = app
        self._loopback = loopback
        self._token = token
        self._guesses = guesses or Guesses()
        # The cookie proves knowledge of the token without holding it.
        self._session = hmac.new((token or "").encode(), b"agent page session", hashlib.sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in HEADERS.items())]
            await send(message)

        connection = HTTPConnection(scope)
        refusal = self._refusal(connection)
        if refusal is None:
            await self._app(scope, receive, send_guarded)
        else:
            await refusal(scope, receive, send_guarded)

    def _refusal(self, connection: HTTPConnection) -> Response | None:
        # A foreign name that resolves to loopback would let any web site read the page (DNS rebinding).
        if self._loopback and not _LOCAL_HOST.match(connection.headers.get("host", "")):
            return PlainTextResponse("this page answers under local names only\n", status_code=421)
        if self._token is None or connection.url.path in OPEN_PATHS:
            return None
        return self._refusal_by_token(connection, self._token)

    def _refusal_by_token(self, connection: HTTPConnection, token: str) -> Response | None:
        given = connection.query_params.get("token")
        # The cookie cannot be guessed, so whoever is in stays in while others guess.
        if given is None and _same(connection.cookies.get(COOKIE, ""), self._session):
            return None
        scheme, _, bearer = connection.headers.get("authorization", "").partition(" ")
        bearer = bearer.strip() if scheme.lower() == "bearer" else ""
        if given is None and not bearer:
            return _unauthorised()
        address = "" if connection.client is None else connection.client.host
        if wait := self._guesses.wait_s(address):
            headers = {"retry-after": str(math.ceil(wait))}
            return PlainTextResponse("too many wrong tokens; try again later\n", status_code=429, headers=headers)
        if given is not None and _same(given, token):
            return self._welcome(connection)
        if bearer and _same(bearer, token):
            return None
        self._guesses.wrong(address)
        return _unauthorised()

    def _welcome(self, connection: HTTPConnection) -> Response:
        """Into a cookie with the token, and out of the address bar and the history."""
        rest = [(k, v) for k, v in parse_qsl(connection.url.query) if k != "token"]
        # A path with two slashes at the front would lead to another host.
        path = "/" + connection.url.path.lstrip("/")
        answer = RedirectResponse(path + ("?" + urlencode(rest) if rest else ""), status_code=303)
        answer.set_cookie(COOKIE, self._session, httponly=True, samesite="strict", path="/")
        return answer


def _unauthorised() -> Response:
    return PlainTextResponse(
        "a token is needed: open the page once with ?token=...\n",
        status_code=401,
        headers={"www-authenticate": "Bearer"},
    )


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
