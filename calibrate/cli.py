"""`calibrate`: every command by its name; what each does is in `calibrate/commands/`."""

from __future__ import annotations

import os

import typer

from calibrate.commands.compare import compare
from calibrate.commands.data import data
from calibrate.commands.evaluate import evaluate
from calibrate.commands.few_shot import few_shot
from calibrate.commands.import_checkpoint import import_checkpoint
from calibrate.commands.line import line
from calibrate.commands.memory import memory
from calibrate.commands.paper import paper
from calibrate.commands.parity import parity
from calibrate.commands.precision import precision
from calibrate.commands.pretrain import pretrain
from calibrate.commands.profile import app as profile
from calibrate.commands.report import report
from calibrate.commands.samples import samples
from calibrate.commands.threshold import threshold
from calibrate.commands.tune import tune
from calibrate.commands.verify import verify
from calibrate.processes import started_by_torchrun
from fbclip.command import guarded
from fbclip.errors import ConfigError

SHARED = ("tune", "evaluate", "paper")
"""Commands that several processes of torchrun do together."""
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def _root(context: typer.Context) -> None:
    """Offline tool: thresholds with a guarantee, tuned adapters, and the training of the embedded model."""
    if started_by_torchrun(os.environ) and context.invoked_subcommand not in SHARED:
        can = ", ".join(SHARED)
        raise ConfigError(f"torchrun: several processes can share {can}, not {context.invoked_subcommand}")


app.command("data")(data)
app.command("line")(line)
app.command("threshold")(threshold)
app.command("import")(import_checkpoint)
app.command("verify")(verify)
app.command("tune")(tune)
app.command("memory")(memory)
app.command("few-shot")(few_shot)
app.command("evaluate")(evaluate)
app.command("compare")(compare)
app.command("paper")(paper)
app.command("report")(report)
app.command("precision")(precision)
app.command("parity")(parity)
app.command("pretrain")(pretrain)
app.command("samples")(samples)
app.add_typer(profile, name="profile")

main = guarded(app)
