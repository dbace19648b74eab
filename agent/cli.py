"""`agent`: every command by its name; what each does is in `agent/commands/`, which is imported when it is called."""

from __future__ import annotations

import typer

from agent.commands.options import (
    CheckRequest,
    CollectRequest,
    CtlRequest,
    EventsRequest,
    InspectRequest,
    ReconcileRequest,
    RequeueRequest,
    ResolveRequest,
    RunRequest,
    StatusRequest,
)
from fbclip.command import grouped, guarded

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def _root() -> None:
    """Edge inspection agent."""


@app.command()
@grouped
def run(request: RunRequest) -> None:
    """Judge frames and files until SIGTERM or Ctrl-C."""
    from agent.commands.run import run_command

    raise typer.Exit(run_command(request))


@app.command()
@grouped
def check(request: CheckRequest) -> None:
    """Try every part of the configuration; exit 1 names what fails."""
    from agent.commands.check import check_command

    raise typer.Exit(check_command(request))


@app.command()
@grouped
def inspect(request: InspectRequest) -> None:
    """Judge files now; exit 1 if any is anomalous or rejected."""
    from agent.commands.inspect import inspect_command

    raise typer.Exit(inspect_command(request))


@app.command()
@grouped
def status(request: StatusRequest) -> None:
    """Run, lines, verdict counts and waiting messages, from the store."""
    from agent.commands.status import status_command

    status_command(request)


@app.command()
@grouped
def events(request: EventsRequest) -> None:
    """The latest events, newest first."""
    from agent.commands.events import events_command

    events_command(request)


@app.command()
@grouped
def resolve(request: ResolveRequest) -> None:
    """Which file of a private line a reference stands for; for whoever may read the database."""
    from agent.commands.resolve import resolve_command

    resolve_command(request)


@app.command()
@grouped
def requeue(request: RequeueRequest) -> None:
    """Judge files of a hot folder again: one, or all that could not be judged."""
    from agent.commands.requeue import requeue_command

    raise typer.Exit(requeue_command(request))


@app.command()
@grouped
def reconcile(request: ReconcileRequest) -> None:
    """Has every file of the hot folders its place in the database and on the disk; exit 1 names those without."""
    from agent.commands.reconcile import reconcile_command

    raise typer.Exit(reconcile_command(request))


@app.command()
@grouped
def collect(request: CollectRequest) -> None:
    """Normal images through the live path, for `calibrate threshold`. The files themselves stay where they are."""
    from agent.commands.collect import collect_command

    raise typer.Exit(collect_command(request))


@app.command()
@grouped
def ctl(request: CtlRequest) -> None:
    """Steer the agent that runs: switch lines, profiles and thresholds, reload, acknowledge; exit 1 says why not."""
    from agent.commands.ctl import ctl_command

    raise typer.Exit(ctl_command(request))


main = guarded(app)
