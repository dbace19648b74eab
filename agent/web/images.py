"""Pictures over HTTP: the last one of a line, and those of an inspection from disk or memory.

A file is found by what the database says of an inspection, never by a name in the address.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from agent.errors import StoreError
from agent.pipeline.evidence import encode_jpeg
from agent.store.pictures import FOLDER
from agent.store.reader import InspectionRow
from agent.web.pictures import frame_picture, heat_picture
from agent.web.sources import PageSources
from agent.web.state import PageState

Answer = Callable[[Request], Awaitable[Response]]


def live_image(state: PageState, kind: Literal["frame", "overlay"]) -> Answer:
    """The last picture of a line."""
    read = state.overlay_jpeg if kind == "overlay" else state.frame_jpeg

    async def answer(request: Request) -> Response:
        name = request.path_params["name"]
        try:
            # Of many viewers one has it encoded, in a thread; for the others that would cost more than the answer.
            jpeg = state.fresh_jpeg(name, kind) or await run_in_threadpool(read, name)
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
        kind = "heat" if with_heat else "image"
        name = {"content-disposition": f'attachment; filename="inspection-{number}-{kind}.jpg"'}
        return Response(jpeg, media_type="image/jpeg", headers=name if "download" in request.query_params else None)

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
