"""The fleet as one page, made anew for each visit from what was seen last. Whoever may publish chooses its words."""

from __future__ import annotations

import math
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from agent.fleet.view import FleetAgent
from agent.fleet.watching import FleetSight, FleetWatch
from agent.records import timestamp
from agent.web.access import Access
from agent.web.guard import Guard
from agent.web.pages import HERE

# A broker can be filled with anything; a page of more rows helps nobody.
MOST_AGENTS = 500
MOST_LINES = 100
MOST_PROBLEMS = 20
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def create_fleet_app(watch: FleetWatch, loopback: bool, access: Access) -> Starlette:
    """The ASGI application. Raises ValueError when it would be open to the network without a token."""

    async def fleet(_: Request) -> Response:
        return HTMLResponse(fleet_html(watch.sight, watch.every_s))

    async def login(request: Request) -> Response:
        wrong = any(word in request.query_params for word in ("wrong", "wait"))
        text = _TEMPLATES.get_template("sign_in.html").render(wrong=wrong)
        return HTMLResponse(text, status_code=401 if wrong else 200)

    routes = [Route("/", fleet), Route("/login", login), Mount("/static", StaticFiles(directory=HERE / "static"))]
    return Starlette(routes=routes, middleware=[Middleware(Guard, loopback=loopback, access=access)])


def fleet_html(sight: FleetSight, every_s: float) -> str:
    """Those that are not well come first."""
    agents = sorted(sight.agents, key=lambda agent: (agent.well, agent.name))
    return _TEMPLATES.get_template("fleet.html").render(
        agents=agents[:MOST_AGENTS],
        more=max(0, len(agents) - MOST_AGENTS),
        total=len(agents),
        well=sum(agent.well for agent in agents),
        seen=None if sight.seen is None else timestamp(sight.seen),
        problem=sight.problem,
        refresh=max(1, math.ceil(every_s)),
        most_lines=MOST_LINES,
        most_problems=MOST_PROBLEMS,
        word=_word,
    )


def _word(agent: FleetAgent) -> str:
    if agent.state != "online":
        return f"{agent.state} ({agent.reason})" if agent.reason else agent.state
    return {True: "healthy", False: "not healthy", None: "online, has not said how it is"}[agent.healthy]
