"""How the log is written: as text for people, or as one JSON object a line for collectors.

Both go through the filter of private lines, which has been at a record before it is formatted here. Whatever is logged
while one frame is judged or recorded carries that frame's id as `inspection`.
"""

from __future__ import annotations

import logging
import sys
from enum import StrEnum
from typing import TextIO

import structlog
from structlog.contextvars import merge_contextvars
from structlog.typing import EventDict, WrappedLogger

from agent.privacy.quiet_log import make_logs_private

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class LogFormat(StrEnum):
    """text: for people. json: for collectors."""

    TEXT = "text"
    JSON = "json"


def start_log(form: LogFormat, stream: TextIO | None = None) -> None:
    """From now on everything is logged to `stream`, stderr unless told, without names of private lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(logging.Formatter(TEXT) if form is LogFormat.TEXT else json_formatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    make_logs_private()


def json_formatter() -> logging.Formatter:
    """time (RFC 3339, UTC), level, logger, event; thread, and exception and inspection where there are any."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            merge_contextvars,
            _with_record,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=True),
        ],
    )


def _with_record(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The thread, and what the filter of private lines has left of an exception."""
    record: logging.LogRecord = event["_record"]
    event["thread"] = record.threadName
    if record.exc_text and "exc_info" not in event:
        event["exception"] = record.exc_text
    return event
