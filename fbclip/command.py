"""How our commands end: exit 0 done, 1 found or failed, 2 wrong usage or configuration; errors are one line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

import typer

from fbclip.errors import ConfigError, InspectError

log = logging.getLogger(__name__)
# typer exports only this descendant of the errors that are the user's slip.
_UsageError: Any = typer.BadParameter.__bases__[0]


def guarded(app: typer.Typer) -> Callable[[], None]:
    """The script's entry point: a known error becomes one line on stderr; its cause goes to the log (debug)."""

    def main() -> None:
        try:
            code = app(standalone_mode=False)
        except _UsageError as error:
            _fail(_usage_text(error), error, 2)
        except ConfigError as error:
            _fail(str(error), error, 2)
        except (InspectError, OSError) as error:
            # An OSError, disk full or no permission, is the user's to mend, with the file named by the system.
            _fail(str(error), error, 1)
        except (KeyboardInterrupt, typer.Abort):
            sys.stderr.write("interrupted\n")
            sys.exit(130)
        else:
            sys.exit(code if isinstance(code, int) else 0)

    return main


def _usage_text(error: Any) -> str:
    text = error.format_message()
    return f"{text} See `{error.ctx.command_path} --help`." if text and error.ctx is not None else text


def _fail(text: str, error: BaseException, code: int) -> None:
    log.debug("ended with exit code %d", code, exc_info=error)
    line = " ".join(text.split())
    # A command without arguments has printed its help already.
    if line:
        sys.stderr.write(f"error: {line}\n")
    sys.exit(code)
