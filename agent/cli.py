"""`agent`: every command by its name; what each does is in `agent/commands/`, which is imported when it is called."""

from __future__ import annotations

import typer

from agent.commands.options import (
    BackupRequest,
    CheckRequest,
    CollectRequest,
    CtlRequest,
    EventsRequest,
    ExportFeedbackRequest,
    FeedbackRequest,
    FleetServeRequest,
    FleetStatusRequest,
    InitRequest,
    InspectRequest,
    ReconcileRequest,
    RequeueRequest,
    ResolveRequest,
    RestoreRequest,
    RunRequest,
    SchemaRequest,
    StatusRequest,
)
from fbclip.command import grouped, guarded

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

fleet = typer.Typer(no_args_is_help=True, help="Many agents of one broker.")
app.add_typer(fleet, name="fleet")


@app.callback()
def _root() -> None:
    """Edge inspection agent."""


@app.command()
@grouped
def run(request: RunRequest) -> None:
    """Judge frames and files until SIGTERM or Ctrl-C."""
    from agent.commands.run import leave, run_command

    leave(run_command(request))


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
def feedback(request: FeedbackRequest) -> None:
    """Say what an inspection really was; its picture is kept, and the next calibration learns from it."""
    from agent.commands.feedback import feedback_command

    raise typer.Exit(feedback_command(request))


@app.command()
@grouped
def export(request: ExportFeedbackRequest) -> None:
    """Pictures with feedback as a data set that `calibrate` reads; exit 1 if there are none."""
    from agent.commands.export import export_command

    raise typer.Exit(export_command(request))


@app.command()
@grouped
def ctl(request: CtlRequest) -> None:
    """Steer the agent that runs: switch lines, profiles and thresholds, reload, acknowledge; exit 1 says why not."""
    from agent.commands.ctl import ctl_command

    raise typer.Exit(ctl_command(request))


@app.command()
@grouped
def init(request: InitRequest) -> None:
    """A commented agent.yaml to start from; overwrites nothing."""
    from agent.commands.init import init_command

    init_command(request)


@app.command()
@grouped
def backup(request: BackupRequest) -> None:
    """Database, configuration, profiles and memories in one archive, also while the agent runs."""
    from agent.commands.backup import backup_command

    backup_command(request)


@app.command()
@grouped
def restore(request: RestoreRequest) -> None:
    """What a backup holds, back in its place; not while the agent runs."""
    from agent.commands.restore import restore_command

    restore_command(request)


@fleet.command("status")
@grouped
def fleet_status(request: FleetStatusRequest) -> None:
    """Every agent of the broker that agent.yaml names, with its lines; exit 1 if one is not online and healthy."""
    from agent.commands.fleet import fleet_status_command

    raise typer.Exit(fleet_status_command(request))


@fleet.command("serve")
@grouped
def fleet_serve(request: FleetServeRequest) -> None:
    """The same as a page, made anew while it runs; on other addresses than loopback under the tokens of agent.yaml."""
    from agent.commands.fleet_serve import fleet_serve_command

    fleet_serve_command(request)


@app.command()
@grouped
def schema(request: SchemaRequest) -> None:
    """JSON Schemas of agent.yaml, profiles and messages, and an AsyncAPI description of the topics."""
    from agent.commands.schema import schema_command

    schema_command(request)


main = guarded(app)
