"""How our commands end: exit 0 good, 1 found or failed, 2 wrong usage or configuration; errors are one line."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from fbclip.errors import ConfigError, FbclipError


def guarded(
    app: typer.Typer,
    failures: tuple[type[Exception], ...] = (FbclipError,),
    usage: tuple[type[Exception], ...] = (ConfigError,),
) -> Callable[[], None]:
    """The script's entry point: a known error becomes one line on stderr, without a traceback."""

    def main() -> None:
        try:
            app()
        except usage as error:
            _fail(error, 2)
        except failures as error:
            _fail(error, 1)
        except OSError as error:
            # Disk full, no permission: the user's to mend, with the file named by the system.
            _fail(error, 1)
        except KeyboardInterrupt:
            sys.stderr.write("interrupted\n")
            sys.exit(130)

    return main


def _fail(error: Exception, code: int) -> None:
    text = " ".join(str(error).split())
    sys.stderr.write(f"error: {text}\n")
    sys.exit(code)
