"""The routes of the page. It only shows; the one route that changes anything is that of `agent ctl`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from agent.web.control import Submit, control
from agent.web.events import RecentEvent
from agent.web.guard import Guard
from agent.web.metrics import MetricsText, metrics_route
from agent.web.state import PageState

LOOK_S = 5.0
_HERE = Path(__file__).parent
_TEMPLATES = Environment(loader=FileSystemLoader(_HERE / "templates"), autoescape=select_autoescape(default=True))


@dataclass(frozen=True)
class PageSources:
    """What the page shows: the state that others write, and questions asked anew at each request."""

    state: PageState
    problems: Callable[[], Sequence[str]]
    """Why the agent is not healthy; empty if it is."""
    events: Callable[[], Sequence[RecentEvent]]
    """Recent ones, newest first."""
    ready: Callable[[], bool]
    """Whether frames are judged and recorded."""
    submit: Submit
    """Hands a command on."""
    metrics: MetricsText | None = None
    """Answers a scrape; None where there are no metrics."""

    def snapshot(self) -> dict[str, Any]:
        """The answer of /api/state, as JSON values."""
        return {
            **self.state.snapshot(),
            "problems": list(self.problems()),
            "events": [event.as_json() for event in self.events()],
        }


def create_app(sources: PageSources, loopback: bool = True, token: str | None = None) -> Starlette:
    """The ASGI application. Raises ValueError when it would be open to the network without a token."""
    state = sources.state

    async def page(_: Request) -> Response:
        text = _TEMPLATES.get_template("page.html").render(agent=state.agent, lines=state.line_names)
        return HTMLResponse(text)

    async def api_state(_: Request) -> Response:
        # The events come from the database: not on the loop that also answers /healthz.
        return JSONResponse(await run_in_threadpool(sources.snapshot))

    async def healthz(_: Request) -> Response:
        try:
            problems = await asyncio.wait_for(run_in_threadpool(sources.problems), LOOK_S)
        except TimeoutError:
            problems = ("nothing answers inside the agent",)
        if not problems:
            return JSONResponse({"status": "ok"})
        # Asked without a token too, so the details are for loopback only.
        body = {"status": "failing", "problems": list(problems)} if loopback else {"status": "failing"}
        return JSONResponse(body, status_code=503)

    async def readyz(_: Request) -> Response:
        try:
            yes = await asyncio.wait_for(run_in_threadpool(sources.ready), LOOK_S)
        except TimeoutError:
            yes = False
        return JSONResponse({"status": "ready" if yes else "not ready"}, status_code=200 if yes else 503)

    routes = [
        Route("/", page),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics_route(sources.metrics)),
        Route("/api/state", api_state),
        Route("/api/ctl/{verb}", control(sources.submit), methods=["POST"]),
        Route("/lines/{name}/frame.jpg", _image(state.frame_jpeg)),
        Route("/lines/{name}/overlay.jpg", _image(state.overlay_jpeg)),
        Mount("/static", StaticFiles(directory=_HERE / "static")),
    ]
    guard = Middleware(Guard, loopback=loopback, token=token)
    app = Starlette(routes=routes, middleware=[guard])
    if not loopback and not token:
        raise ValueError("an address other than loopback needs a token")
    return app


def _image(read: Callable[[str], bytes | None]) -> Callable[[Request], object]:
    async def answer(request: Request) -> Response:
        try:
            jpeg = await run_in_threadpool(read, request.path_params["name"])
        except KeyError:
            return PlainTextResponse("no such line\n", status_code=404)
        if jpeg is None:
            return PlainTextResponse("no image yet\n", status_code=404)
        return Response(jpeg, media_type="image/jpeg")

    return answer
