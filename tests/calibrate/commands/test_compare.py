"""`calibrate compare`: Markdown and JSON."""

import json

from typer.testing import CliRunner

from calibrate.cli import app
from calibrate.evaluation.compare import RESAMPLES
from tests.factories.runs import shifted_margins, write_margins


def run(*arguments):
    return CliRunner().invoke(app, ["compare", *(str(a) for a in arguments)])


def test_the_command_writes_markdown_and_json(tmp_path):
    margins, labels = shifted_margins(1, 0.5)
    names = ("base", "next", "last")
    folders = [write_margins(tmp_path / name, margins + k * labels, labels) for k, name in enumerate(names)]
    answer = run(*folders, "--out", tmp_path / "c.md")
    assert answer.exit_code == 0, answer.output
    text = (tmp_path / "c.md").read_text()
    assert "B is better" in text
    assert "| pixel AP | n/a |" in text
    assert "C − A" in text
    printed = json.loads(run(*folders, "--json").stdout)
    assert (printed["schema"], printed["resamples"]) == ("calibrate.comparison/1", RESAMPLES)
    assert [r["name"] for r in printed["runs"]] == ["base", "next", "last"]
    assert printed["comparisons"][1]["mean"]["image_auroc"]["outcome"] == "better"
    assert printed == json.loads(run(*folders, "--json").stdout)
