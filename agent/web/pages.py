"""The pages as HTML: each asks the store or the plant once, in a thread, and fills one template."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unicodedata import category

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from agent.errors import StoreError
from agent.records import EventKind, timestamp
from agent.store.views import EventQuery
from agent.web.access import Role
from agent.web.guard import COOKIE, from_here
from agent.web.images import has_picture
from agent.web.sources import PageSources
from fbclip.decision import Verdict

log = logging.getLogger(__name__)
EVENTS_A_PAGE = 40
LONGEST_PARAMETER = 64
HERE = Path(__file__).parent
# What somebody may say of a verdict: the label, in the words of the shop floor.
JUDGEMENTS = {
    Verdict.ANOMALY.value: (("anomalous", "Correct"), ("normal", "False alarm")),
    Verdict.UNCERTAIN.value: (("anomalous", "Defect"), ("normal", "Good")),
    Verdict.OK.value: (("normal", "Correct"), ("anomalous", "Missed defect")),
    Verdict.REJECTED.value: (("normal", "Good part"), ("anomalous", "Defect")),
}
_UNSEEN = frozenset({"Cc", "Cf", "Cs"})


def _visible(value: object) -> object:
    """Text of others with what nobody sees spelled out: such characters turn the text beside them around, or hide."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    spelled = (c.encode("unicode_escape").decode() if category(c) in _UNSEEN else c for c in value)
    return "".join(spelled)


_TEMPLATES = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    finalize=_visible,
    trim_blocks=True,
    lstrip_blocks=True,
)
Answer = Callable[[Request], Awaitable[Response]]
Found = tuple[str, Mapping[str, Any]]


def _words(text: object) -> str:
    """A stored word such as camera_lost, as people read it."""
    return str(text).replace("_", " ")


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _percent(share: float) -> str:
    """As short as it can be said."""
    return f"{100 * share:.4g} %"


def _size(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


_TEMPLATES.filters.update(words=_words, number=_number, size=_size, percent=_percent, stamp=timestamp)


class Pages:
    """The HTML side of the routes."""

    def __init__(self, sources: PageSources) -> None:
        self._sources = sources

    def page(self, ask: Callable[[Request], Found | Response], title: str) -> Answer:
        """A route whose template and values `ask` gives."""

        async def answer(request: Request) -> Response:
            try:
                found = await run_in_threadpool(ask, request)
            except StoreError as error:
                log.warning("a page cannot be shown: %s", error)
                return self.error(request, 503, "The store cannot be read now", "Try again in a moment.")
            if isinstance(found, Response):
                return found
            name, values = found
            return self._render(request, name, title, values)

        return answer

    def error(self, request: Request, code: int, headline: str, advice: str) -> Response:
        """What went wrong and what to do, in the clothes of the other pages."""
        return self._render(request, "error.html", headline, {"headline": headline, "advice": advice}, code)

    def overview(self, _: Request) -> Found:
        lines = self._sources.state.line_names
        shown = {line: self._sources.plant.shows_pictures(line) for line in lines}
        return "overview.html", {"lines": lines, "shown": shown}

    def events(self, request: Request) -> Found:
        asked = {key: value[:LONGEST_PARAMETER] for key, value in request.query_params.items()}
        kind = asked.get("kind") if asked.get("kind") in {k.value for k in EventKind} else None
        before = asked.get("before", "")
        query = EventQuery(
            line=asked.get("line") or None,
            kind=kind,
            since=moment(asked.get("from"), asked.get("from_tz")),
            until=moment(asked.get("to"), asked.get("to_tz"), minutes=1),
            before=int(before) if before.isdecimal() and len(before) < 19 else None,
            limit=EVENTS_A_PAGE + 1,
        )
        found = self._sources.views.events(query)
        rows, more = found[:EVENTS_A_PAGE], len(found) > EVENTS_A_PAGE
        # A line that was taken away still has events.
        lines = dict.fromkeys([*self._sources.state.line_names, *([query.line] if query.line else [])])
        return "events.html", {
            "rows": rows,
            "lines": list(lines),
            "kinds": [k.value for k in EventKind],
            "asked": asked,
            "older": rows[-1].id if more else None,
            "filtered": any(asked.get(key) for key in ("line", "kind", "from", "to")),
            "newest": self._sources.views.newest_event(),
        }

    def inspection(self, request: Request) -> Found | Response:
        sources, number = self._sources, request.path_params["id"]
        row = sources.reader.inspection(number)
        if row is None:
            return self.error(request, 404, "There is no such inspection", "It may have been deleted by its age.")
        image, heat = has_picture(sources, row)
        return "inspection.html", {
            "row": row,
            "event": sources.views.event_of(number),
            "image": image,
            "heat": heat,
            "private": not sources.plant.shows_pictures(row.line),
            "history": sources.views.history(row.line, around=number),
            "said": sources.views.feedback_on(number),
            "judgements": JUDGEMENTS[row.verdict.value],
        }

    def line(self, request: Request) -> Found | Response:
        name = request.path_params["name"]
        card = self._sources.plant.card(name)
        if card is None:
            return self.error(request, 404, "There is no such line", "It may have been taken out of agent.yaml.")
        return "line.html", {
            "card": card,
            "view": self._sources.state.line(name),
            "verdicts": [("ok", Verdict.OK), ("uncertain", Verdict.UNCERTAIN), ("anomaly", Verdict.ANOMALY)],
            "history": self._sources.views.history(name),
            "audit": self._sources.views.audit(name, 10),
        }

    def system(self, _: Request) -> Found:
        return "system.html", {"system": self._sources.plant.system()}

    async def login(self, request: Request) -> Response:
        """The form; who needs none goes on to the overview."""
        if getattr(request.state, "identity", None) is not None:
            return RedirectResponse("/", status_code=303)
        asked = request.query_params
        problem = "That token is not known." if "wrong" in asked else ""
        problem = "Too many wrong tokens; wait a minute." if "wait" in asked else problem
        return self._render(request, "login.html", "Sign in", {"problem": problem}, 200 if not problem else 401)

    async def logout(self, request: Request) -> Response:
        """Forget the session of this browser."""
        if not from_here(request):
            return self.error(request, 403, "Another site asked for this", "Nothing was done.")
        answer = RedirectResponse("/login", status_code=303)
        answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return answer

    def _render(
        self, request: Request, template: str, title: str, values: Mapping[str, Any], code: int = 200
    ) -> HTMLResponse:
        identity = getattr(request.state, "identity", None)
        role = None if identity is None else identity.role
        text = _TEMPLATES.get_template(template).render(
            agent=self._sources.state.agent,
            title=title,
            path=request.url.path,
            identity=identity,
            csrf=getattr(request.state, "csrf", ""),
            may_operate=role is not None and role >= Role.OPERATE,
            may_engineer=role is not None and role >= Role.ENGINEER,
            judge_words=JUDGEMENTS,
            **values,
        )
        return HTMLResponse(text, status_code=code)


def moment(text: str | None, offset: str | None, minutes: int = 0) -> datetime | None:
    """A local time of a form, with the minutes that its browser's clock is behind UTC; None for anything else.

    `minutes` are added: a form names a minute, and all of it counts.
    """
    try:
        local = datetime.fromisoformat(text or "")
        behind = int(offset or 0)
        if local.tzinfo is None and abs(behind) <= 24 * 60:
            return local.replace(tzinfo=UTC) + timedelta(minutes=behind + minutes)
        return None
    except (ValueError, OverflowError):
        return None
