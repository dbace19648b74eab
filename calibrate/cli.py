"""`calibrate`: every command by its name; what each does is in `calibrate/commands/`."""

from __future__ import annotations

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
from fbclip.command import guarded

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def _root() -> None:
    """Offline tool: thresholds with a guarantee, tuned adapters, and the training of the embedded model."""


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
