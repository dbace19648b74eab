"""The routes of the page. It shows; what changes anything goes through `/api/ctl/`, like the commands of the broker."""

from __future__ import annotations

import asyncio

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from agent.web.access import Access
from agent.web.control import control
from agent.web.guard import Guard
from agent.web.images import live_image, stored_image
from agent.web.metrics import metrics_route
from agent.web.pages import HERE, Pages
from agent.web.sources import PageSources
from agent.web.stream import StateStream

LOOK_S = 5.0


def create_app(
    sources: PageSources, loopback: bool = True, access: Access | None = None, stream: StateStream | None = None
) -> Starlette:
    """The ASGI application. Raises ValueError when it would be open to the network without a token."""
    access = access or Access()
    if not loopback and access.is_open:
        raise ValueError("an address other than loopback needs a token")
    plant, state, pages = sources.plant, sources.state, Pages(sources)
    stream = stream or StateStream(sources.snapshot_json)

    async def api_state(_: Request) -> Response:
        return Response(await stream.latest(), media_type="application/json")

    async def healthz(_: Request) -> Response:
        try:
            problems = await asyncio.wait_for(run_in_threadpool(plant.problems), LOOK_S)
        except TimeoutError:
            problems = ("nothing answers inside the agent",)
        if not problems:
            return JSONResponse({"status": "ok"})
        # Asked without a token too, so the details are for loopback only.
        body = {"status": "failing", "problems": list(problems)} if loopback else {"status": "failing"}
        return JSONResponse(body, status_code=503)

    async def readyz(_: Request) -> Response:
        try:
            yes = await asyncio.wait_for(run_in_threadpool(plant.ready), LOOK_S)
        except TimeoutError:
            yes = False
        return JSONResponse({"status": "ready" if yes else "not ready"}, status_code=200 if yes else 503)

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 404 and "text/html" in request.headers.get("accept", ""):
            return pages.error(request, 404, "There is no such page", "The way back is above.")
        return PlainTextResponse(f"{error.detail}\n", status_code=error.status_code, headers=error.headers)

    routes = [
        Route("/", pages.page(pages.overview, "Overview")),
        Route("/events", pages.page(pages.events, "Events")),
        Route("/inspections/{id:int}", pages.page(pages.inspection, "Inspection")),
        Route("/inspections/{id:int}/image.jpg", stored_image(sources, with_heat=False)),
        Route("/inspections/{id:int}/heat.jpg", stored_image(sources, with_heat=True)),
        Route("/lines/{name}", pages.page(pages.line, "Line")),
        Route("/lines/{name}/frame.jpg", live_image(state, "frame")),
        Route("/lines/{name}/overlay.jpg", live_image(state, "overlay")),
        Route("/system", pages.page(pages.system, "System")),
        Route("/login", pages.login),
        Route("/logout", pages.logout, methods=["POST"]),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics_route(sources.metrics)),
        Route("/api/state", api_state),
        Route("/api/stream", stream.answer),
        Route("/api/ctl/{verb}", control(sources.submit), methods=["POST"]),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]
    guard = Middleware(Guard, loopback=loopback, access=access)
    return Starlette(routes=routes, middleware=[guard], exception_handlers={HTTPException: http_error})
