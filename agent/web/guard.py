"""Who gets in: everybody on loopback under a local name, elsewhere whoever has a token or comes through the proxy."""

from __future__ import annotations

import math
import re
import time
from collections import deque
from collections.abc import Callable, Iterable
from urllib.parse import parse_qs, parse_qsl, urlencode

from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.web.access import Access, Caller, Role, Sessions, plain_name

COOKIE = "agent_session"
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/login"})
MOST_GUESSES = 10
GUESSES_WINDOW_S = 60.0
MOST_ADDRESSES = 1000
MOST_FORM_BYTES = 2048
_LOCAL_HOST = re.compile(r"^(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(:\d{1,5})?$", re.IGNORECASE)
HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    # No other site learns an address; a form of ours still says where it comes from.
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


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
    """ASGI middleware. It leaves `identity` and `csrf` in the request's state for whoever answers."""

    def __init__(
        self,
        app: ASGIApp,
        loopback: bool,
        access: Access,
        guesses: Guesses | None = None,
        sessions: Sessions | None = None,
    ) -> None:
        if not loopback and access.is_open:
            raise ValueError("an address other than loopback needs a token")
        self._app = app
        self._loopback = loopback
        self._access = access
        self._guesses = guesses or Guesses()
        self._sessions = sessions or Sessions(access)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_more_headers(scope["path"], message["headers"])]
            await send(message)

        connection = HTTPConnection(scope)
        by_proxy = self._access.from_proxy(connection.headers.get)
        # A foreign name that resolves to loopback would let any web site read the page (DNS rebinding).
        if self._loopback and by_proxy is None and not _LOCAL_HOST.match(connection.headers.get("host", "")):
            refusal = PlainTextResponse("this page answers under local names only\n", status_code=421)
            await refusal(scope, receive, send_guarded)
            return
        if scope["path"] == "/login" and scope["method"] == "POST":
            answer = await self._sign_in(Request(scope, receive))
            await answer(scope, receive, send_guarded)
            return
        found = by_proxy or self._identity(connection)
        if isinstance(found, Response) and not _is_open(scope["path"]):
            await found(scope, receive, send_guarded)
            return
        if isinstance(found, Caller):
            csrf = self._sessions.csrf(found, connection.cookies.get(COOKIE, ""))
            scope.setdefault("state", {}).update(identity=found, csrf=csrf)
        await self._app(scope, receive, send_guarded)

    def _identity(self, connection: HTTPConnection) -> Caller | Response:
        if self._access.is_open:
            return Caller(Role.ENGINEER)
        given = connection.query_params.get("token")
        # A session cannot be guessed, so whoever is in stays in while others guess.
        if given is None and (known := self._sessions.read(connection.cookies.get(COOKIE, ""))) is not None:
            return known
        scheme, _, bearer = connection.headers.get("authorization", "").partition(" ")
        bearer = bearer.strip() if scheme.lower() == "bearer" else ""
        if given is None and not bearer:
            return _unauthorised(connection)
        role = self._role(connection, given if given is not None else bearer)
        if isinstance(role, Response):
            return role
        return Caller(role, None, "bearer") if given is None else self._welcome(connection, role)

    def _role(self, connection: HTTPConnection, token: str) -> Role | Response:
        """Of a token that is tried; every wrong one counts against its address."""
        address = "" if connection.client is None else connection.client.host
        if wait := self._guesses.wait_s(address):
            headers = {"retry-after": str(math.ceil(wait))}
            return PlainTextResponse("too many wrong tokens; try again later\n", status_code=429, headers=headers)
        role = self._access.role_of(token)
        if role is None:
            self._guesses.wrong(address)
            return _unauthorised(connection)
        return role

    def _welcome(self, connection: HTTPConnection, role: Role) -> Response:
        """Into a cookie with the token, and out of the address bar and the history."""
        rest = [(k, v) for k, v in parse_qsl(connection.url.query) if k != "token"]
        # A path with two slashes at the front would lead to another host.
        path = "/" + connection.url.path.lstrip("/")
        return self._with_session(path + ("?" + urlencode(rest) if rest else ""), role, None)

    async def _sign_in(self, request: Request) -> Response:
        """The form of /login: token and name."""
        if not from_here(request):
            return PlainTextResponse("origin: another site\n", status_code=403)
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_FORM_BYTES:
                return PlainTextResponse(f"larger than {MOST_FORM_BYTES} bytes\n", status_code=413)
        try:
            form = parse_qs(bytes(body).decode(), max_num_fields=10)
        except (ValueError, UnicodeDecodeError):
            return PlainTextResponse("not a form\n", status_code=400)
        role = self._role(request, form.get("token", [""])[0])
        if not isinstance(role, Role):
            wait = "?wait=1" if role.status_code == 429 else "?wrong=1"
            return RedirectResponse("/login" + wait, status_code=303)
        return self._with_session("/", role, plain_name(form.get("name", [""])[0]))

    def _with_session(self, where: str, role: Role, name: str | None) -> Response:
        answer = RedirectResponse(where, status_code=303)
        cookie = self._sessions.cookie(role, name)
        answer.set_cookie(COOKIE, cookie, httponly=True, samesite="strict", path="/", max_age=30 * 86_400)
        return answer


def from_here(request: HTTPConnection) -> bool:
    """Whether a browser sent it from a page of this agent, or it was no browser."""
    origin = request.headers.get("origin")
    return origin is None or re.sub("^https?://", "", origin) == request.headers.get("host")


def from_browser(request: HTTPConnection) -> bool:
    """Browsers send at least one of these with a change, and no page can keep them from it."""
    return any(name in request.headers for name in ("origin", "cookie", "sec-fetch-site"))


def _more_headers(path: str, said: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """What is not said yet. Scripts and styles hold nothing secret: a browser keeps them, and asks if they changed."""
    headers = HEADERS | ({"cache-control": "no-cache"} if path.startswith("/static/") else {})
    names = {name.lower() for name, _ in said}
    return [(k.encode(), v.encode()) for k, v in headers.items() if k.encode() not in names]


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith("/static/")


def _unauthorised(connection: HTTPConnection) -> Response:
    if connection.scope.get("method") == "GET" and "text/html" in connection.headers.get("accept", ""):
        return RedirectResponse("/login", status_code=303)
    return PlainTextResponse(
        "a token is needed: sign in at /login\n",
        status_code=401,
        headers={"www-authenticate": "Bearer"},
    )
