"""Who may look: a token everywhere but on loopback, and on loopback only under a local name."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from urllib.parse import parse_qsl, urlencode

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.config.services import WebSection
from fbclip.errors import ConfigError

COOKIE = "agent_session"
OPEN_PATHS = frozenset({"/healthz"})
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
    return token


class Guard:
    """ASGI middleware. `token` None leaves the page open, which is for loopback only."""

    def __init__(self, app: ASGIApp, loopback: bool, token: str | None) -> None:
        if not loopback and not token:
            raise ValueError("an address other than loopback needs a token")
        self._app = app
        self._loopback = loopback
        self._token = token
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
        given = connection.query_params.get("token")
        if given is not None and _same(given, self._token):
            return self._welcome(connection)
        scheme, _, bearer = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(bearer.strip(), self._token):
            return None
        if _same(connection.cookies.get(COOKIE, ""), self._session):
            return None
        return PlainTextResponse(
            "a token is needed: open the page once with ?token=...\n",
            status_code=401,
            headers={"www-authenticate": "Bearer"},
        )

    def _welcome(self, connection: HTTPConnection) -> Response:
        """Into a cookie with the token, and out of the address bar and the history."""
        rest = [(k, v) for k, v in parse_qsl(connection.url.query) if k != "token"]
        # A path with two slashes at the front would lead to another host.
        path = "/" + connection.url.path.lstrip("/")
        answer = RedirectResponse(path + ("?" + urlencode(rest) if rest else ""), status_code=303)
        answer.set_cookie(COOKIE, self._session, httponly=True, samesite="strict", path="/")
        return answer


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
