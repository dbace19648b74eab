"""Pictures over HTTP: the last one of a line, and those of an inspection from disk or memory.

A file is found by what the database says of an inspection, never by a name in the address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from hashlib import blake2b
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from agent.errors import StoreError
from agent.pipeline.evidence import encode_jpeg
from agent.store.pictures import FOLDER
from agent.store.reader import InspectionRow
from agent.web.live_pictures import Kind
from agent.web.pictures import frame_picture, heat_picture
from agent.web.sources import PageSources
from agent.web.state import PageState

Answer = Callable[[Request], Awaitable[Response]]


class _Askers:
    """Of many who ask for the same at once, one has it made, in a thread, and the others wait for that."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Future[bytes | None]] = {}

    async def ask(self, key: Hashable, make: Callable[[], bytes | None]) -> bytes | None:
        found = self._under_way.get(key)
        # A page that hung was given another thread, and a loop of its own.
        if found is None or found.get_loop() is not asyncio.get_running_loop():
            found = self._under_way[key] = asyncio.ensure_future(run_in_threadpool(make))
            found.add_done_callback(lambda _: self._under_way.pop(key, None))
        # One who leaves does not end it for the others.
        return await asyncio.shield(found)


def live_image(state: PageState, kind: Kind) -> Answer:
    """The last picture of a line; `?n=` is the number of the inspection that it must be of, or of a later one."""
    askers = _Askers()

    async def answer(request: Request) -> Response:
        name, wanted = request.path_params["name"], request.query_params.get("n", "")
        number = int(wanted) if wanted.isdecimal() and len(wanted) < 19 else 0
        try:
            jpeg = state.picture_ready(name, kind, number) if number else None
            jpeg = jpeg or await askers.ask((name, number), partial(state.picture, name, kind, number))
        except KeyError:
            return PlainTextResponse("no such line\n", status_code=404)
        if jpeg is None:
            return PlainTextResponse("no image yet\n", status_code=404)
        return Response(jpeg, media_type="image/jpeg")

    return answer


def stored_image(sources: PageSources, with_heat: bool) -> Answer:
    """The picture of an inspection; `?download` names it for saving."""

    async def answer(request: Request) -> Response:
        number = request.path_params["id"]
        try:
            jpeg = await run_in_threadpool(picture_of, sources, number, with_heat)
        except StoreError:
            return PlainTextResponse("the store cannot be read\n", status_code=503)
        if jpeg is None:
            return PlainTextResponse("no such picture\n", status_code=404)
        # Kept by the browser, which asks each time whether it may show it: by then a session may have ended.
        headers = {"etag": f'"{blake2b(jpeg, digest_size=16).hexdigest()}"', "cache-control": "private, no-cache"}
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        if "download" in request.query_params:
            kind = "heat" if with_heat else "image"
            headers["content-disposition"] = f'attachment; filename="inspection-{number}-{kind}.jpg"'
        return Response(jpeg, media_type="image/jpeg", headers=headers)

    return answer


def picture_of(sources: PageSources, inspection_id: int, with_heat: bool) -> bytes | None:
    """JPEG; None where it is not kept, or may not be shown. Raises StoreError."""
    row = sources.reader.inspection(inspection_id)
    if row is None or not sources.plant.shows_pictures(row.line):
        return None
    ref = row.overlay_ref if with_heat else row.image_ref
    path = None if ref is None else inside_pictures(sources.data_dir, ref)
    if path is not None:
        try:
            return path.read_bytes()
        except OSError:
            return None
    judged = sources.plant.frame(inspection_id)
    if judged is None:
        return None
    image = heat_picture(judged) if with_heat else frame_picture(judged)
    return None if image is None else encode_jpeg(image)


def has_picture(sources: PageSources, row: InspectionRow) -> tuple[bool, bool]:
    """Whether there is a picture, and one with its heat map."""
    if not sources.plant.shows_pictures(row.line):
        return False, False
    if row.image_ref is not None:
        return True, row.overlay_ref is not None
    judged = sources.plant.frame(row.id)
    return judged is not None, judged is not None and judged.margins is not None and judged.limits is not None


def inside_pictures(data_dir: Path, ref: str) -> Path | None:
    """The file behind a reference; None for one that leads out of the folder of pictures, also by a link."""
    folder = (data_dir / FOLDER).resolve()
    path = (data_dir / ref).resolve()
    return path if path.is_relative_to(folder) and path.suffix == ".jpg" else None
