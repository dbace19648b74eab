"""`calibrate profile`: what a profile promises, another threshold for it, and its versions."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from calibrate.commands.options import JsonOption

app = typer.Typer(no_args_is_help=True, help="What a profile promises, another threshold for it, and its versions.")

ProfileArgument = Annotated[Path, typer.Argument(help="profile, *.yaml")]
ByOption = Annotated[str, typer.Option("--by", help="who changes it")]
NoteOption = Annotated[str | None, typer.Option("--note", help="why, for those who come after")]
NEXT = "a running agent takes it with `agent ctl reload`"


@app.command()
def show(profile: ProfileArgument, as_json: JsonOption = False) -> None:
    """What it promises, what it was measured on, and whether it is as it was written."""
    from calibrate.profiles.history import current, versions
    from calibrate.profiles.text import shown, shown_json
    from fbclip.artefacts.profile_file import read_profile

    stored, number = read_profile(profile), current(profile, versions(profile))
    typer.echo(json.dumps(shown_json(stored, number)) if as_json else shown(stored, number))


@app.command()
def diff(
    a: Annotated[Path, typer.Argument(help="profile, or a file of its history")],
    b: Annotated[Path, typer.Argument(help="the other one")],
    as_json: JsonOption = False,
) -> None:
    """Every field in which two profiles differ; exit 1 if there is one."""
    from calibrate.profiles.text import difference_text, differences
    from fbclip.artefacts.profile_file import read_profile

    found = differences(read_profile(a), read_profile(b))
    if as_json:
        typer.echo(json.dumps({name: [left, right] for name, left, right in found}))
    else:
        typer.echo("\n".join(difference_text(*row) for row in found) or "the same")
    raise typer.Exit(1 if found else 0)


@app.command("set-threshold", context_settings={"ignore_unknown_options": True})
def set_threshold(
    profile: ProfileArgument,
    value: Annotated[float, typer.Argument(metavar="Z", help="threshold in z")],
    by: ByOption,
    note: NoteOption = None,
    as_json: JsonOption = False,
) -> None:
    """Another threshold, with what can still be promised of it; the present profile is kept as a version.

    A bound is valid as long as the value was not picked by the scores of the units that it is counted on.
    """
    from calibrate.errors import RefusedError
    from calibrate.profiles.history import change, put
    from calibrate.profiles.rethreshold import at_threshold
    from fbclip.artefacts.profile_file import read_profile
    from fbclip.artefacts.seal import Seal

    stored = read_profile(profile)
    if stored.seal is Seal.EDITED:
        raise RefusedError(
            f"{profile}: was edited, so its scores prove nothing; go back with `calibrate profile rollback` or make it "
            "anew with `calibrate threshold`"
        )
    made = at_threshold(stored.profile, value)
    what = f"threshold {stored.profile.threshold:.4f} -> {made.profile.threshold:.4f}"
    number = put(profile, made.profile, change(by, what, note, _now(), stored.seal))
    _report(profile, number, what, made.basis, as_json)


@app.command()
def history(profile: ProfileArgument, as_json: JsonOption = False) -> None:
    """The versions that are kept, the newest first: who changed what, and when."""
    from calibrate.profiles.history import current, versions
    from calibrate.profiles.text import history_text, shown_json

    found = versions(profile)
    number = current(profile, found)
    if as_json:
        rows = [{"number": v.number, "current": v.number == number, "problem": v.problem,
                 **({} if v.stored is None else shown_json(v.stored, v.number))} for v in found]  # fmt: skip
        typer.echo(json.dumps(rows))
        return
    for line in history_text(found, number):
        typer.echo(line)
    if number is None:
        typer.echo("the profile itself is not among them" if found else "no earlier versions")


@app.command()
def rollback(
    profile: ProfileArgument,
    by: ByOption,
    to: Annotated[int | None, typer.Option(min=1, help="number of the version; default: the one before")] = None,
    note: NoteOption = None,
    as_json: JsonOption = False,
) -> None:
    """An earlier version again, with its id and its guarantee; the present one is kept."""
    from calibrate.profiles.history import change, earlier, put

    version, stored = earlier(profile, to)
    what = f"back to version {version}"
    number = put(profile, stored.profile, change(by, what, note, _now(), stored.seal))
    _report(profile, number, what, (), as_json)


def _report(profile: Path, number: int, what: str, basis: tuple[str, ...], as_json: bool) -> None:
    from calibrate.profiles.text import shown_json
    from fbclip.artefacts.profile_file import read_profile
    from fbclip.artefacts.seal import promise_text

    stored = read_profile(profile)
    if as_json:
        typer.echo(json.dumps({**shown_json(stored, number), "basis": list(basis)}))
        return
    typer.echo(f"{profile}: {what}, version {number}")
    typer.echo(f"guarantee: {promise_text(stored.profile, stored.seal)}")
    for line in (*basis, NEXT):
        typer.echo(line)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
