"""`/metrics`, for Prometheus; whoever may see the page may scrape."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

MetricsText = Callable[[], bytes]


def metrics_route(read: MetricsText | None) -> Callable[[Request], Awaitable[Response]]:
    """The route; 404 where metrics are switched off."""

    async def answer(_: Request) -> Response:
        if read is None:
            return PlainTextResponse("metrics.enabled is false\n", status_code=404)
        return Response(await run_in_threadpool(read), headers={"content-type": CONTENT_TYPE_LATEST})

    return answer
