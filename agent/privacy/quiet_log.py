"""What the log and the commands may say while a line is private: no path of its folders, and no text of an exception.

An exception quotes what it stumbled over, which may be a file's name; its kind and the lines of code it came by do not.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

log = logging.getLogger(__name__)
WITHHELD = "(a path of a private line)"
# They quote values of a file's header, by which it may be a patient's name.
_QUOTING = ("py.warnings", "pydicom", "highdicom", "pynetdicom")
# Once known they stay: what is on its way when a line is taken away still names its files.
_folders: set[str] = set()


def protect(folders: Iterable[Path]) -> None:
    """From now on nothing below these folders is named."""
    _folders.update(map(str, folders))


def withheld(text: str) -> str:
    """The text without paths of private lines. A name may hold anything, so all that follows on the line goes too."""
    if not _folders:
        return text
    any_folder = "|".join(map(re.escape, sorted(_folders, key=len, reverse=True)))
    return re.sub(rf"(?:{any_folder})[^\n]*", WITHHELD, text)


def error_text(error: BaseException) -> str:
    """Kind and text of an error that nobody foresaw; the kind alone while a line is private."""
    return type(error).__name__ if _folders else f"{type(error).__name__}: {error}"


class PrivateFilter(logging.Filter):
    """For a handler: whatever any part or library says goes through it."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not _folders:
            return True
        try:
            text = record.getMessage()
        except Exception:
            # A library's slip is not worth the thread that it happens in.
            text = f"a message that cannot be written, from {record.pathname}:{record.lineno}"
        if record.name.split(".")[0] in _QUOTING or record.name in _QUOTING:
            text = _source_of(record, text)
        record.msg, record.args = withheld(text), None
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = _without_values(record.exc_info[0], record.exc_info[2])
        record.exc_info = None
        return True


def make_logs_private() -> None:
    """Every handler of the root logger, and what Python itself would print: warnings, threads and hooks that fail."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(PrivateFilter())
    logging.captureWarnings(capture=True)
    # It would print a record that cannot be written with all its values.
    logging.raiseExceptions = False
    sys.excepthook = _ended
    threading.excepthook = lambda args: _ended(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: _ended(args.exc_type, args.exc_value, args.exc_traceback)


def _source_of(record: logging.LogRecord, text: str) -> str:
    """Who speaks, without what he says. The text of a warning begins with its place and its kind."""
    if record.name == "py.warnings":
        return f"a warning of a library: {':'.join(text.split(':')[:3]).splitlines()[0]}"
    return f"a message of a library, from {record.module}:{record.lineno}"


def _ended(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if kind is SystemExit:
        return
    found: Any = (kind, error or kind(), trace)
    log.critical("an error that nobody caught, in %s", threading.current_thread().name, exc_info=found)


def _without_values(kind: type[BaseException], trace: TracebackType | None) -> str:
    lines = traceback.format_tb(trace)
    return withheld("".join(["Traceback (most recent call last):\n", *lines, kind.__name__]))
