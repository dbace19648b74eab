"""What all our commands share: options in groups that are declared once, and how a command ends.

Exit 0 done, 1 found or failed, 2 wrong usage or configuration; errors are one line.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import logging
import sys
from collections.abc import Callable
from typing import Any, get_type_hints

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


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """A typer command whose parameters may be dataclasses: each field of one is an option of its own.

    A field is annotated as an option is, `Annotated[int, typer.Option(...)]`; one without a default is required.
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind) and isinstance(kind, type)}
    flat: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name in groups:
            flat += _options(groups[parameter.name])
        else:
            flat.append(parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def run(**given: Any) -> None:
        values = {
            name: kind(**{field.name: given.pop(field.name) for field in dataclasses.fields(kind)})
            for name, kind in groups.items()
        }
        command(**given, **values)

    # typer asks for both, and follows a wrapped function otherwise.
    run.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    del run.__wrapped__
    return run


def _options(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=hints[field.name],
            default=inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default,
        )
        for field in dataclasses.fields(group)
    ]


def _usage_text(error: Any) -> str:
    # typer says by which kind of check a value failed, as pydantic does; a user need not know.
    text: str = error.format_message().replace("Value error, ", "")
    if not text or error.ctx is None:
        return text
    end = "" if text[-1] in ".?" else "."
    return f"{text}{end} See `{error.ctx.command_path} --help`."


def _fail(text: str, error: BaseException, code: int) -> None:
    log.debug("ended with exit code %d", code, exc_info=error)
    line = " ".join(text.split())
    # A command without arguments has printed its help already.
    if line:
        sys.stderr.write(f"error: {line}\n")
    sys.exit(code)
