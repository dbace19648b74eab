"""Feedback becomes a data set that `calibrate` reads as it stands, with nothing of private lines."""

import csv
import json
from datetime import UTC, datetime, timedelta

import pytest
import typer
from typer.testing import CliRunner

from agent.commands.export import export_command
from agent.commands.options import ExportFeedbackRequest
from agent.config.loader import load_config
from agent.errors import AgentError
from agent.store.access import open_writer
from agent.store.audit import AuditLog, Said
from agent.store.writer import Writer
from calibrate.commands.data import data as calibrate_data
from calibrate.commands.memory import memory as calibrate_memory
from calibrate.datasets.reader import read_data
from fbclip.decision import Verdict
from fbclip.files import file_sha256
from fbclip.memory.bank import load_memory
from tests.factories.agent import an_inspection
from tests.factories.images import write_image
from tests.factories.steering import write_config

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class Shop:
    """A folder line `inbox`, a camera `belt` and a private folder `scans`, with what was judged on them."""

    def __init__(self, folder):
        self.folder = folder
        camera = {"type": "camera", "url": "http://127.0.0.1:9/x"}
        lines = ({"name": "inbox"}, {"name": "belt", "source": camera}, {"name": "scans", "privacy": "phi"})
        plain = {"mode": "learning", "profile": None}
        self.path = write_config(folder, *(plain | line for line in lines))
        self.config = load_config(self.path)
        self.config.agent.data_dir.mkdir(parents=True, exist_ok=True)
        self.database = open_writer(self.config.store_url, "demo")
        self.writer, self.audit, self.number = Writer(self.database), AuditLog(self.database), 0
        self.writer.start_run("run-1", lambda _: None)

    def judged(self, line, label, moment=NOON, path=None, picture=True, note=None):
        self.number += 1
        ref = f"pictures/{line}/day/run-1-{self.number}.jpg" if picture else None
        if ref is not None:
            write_image(self.config.agent.data_dir / ref)
        inspection = an_inspection(
            Verdict.ANOMALY, self.number, line=line, ts=moment, image_ref=ref, path=None if path is None else str(path),
            sha256=None if path is None else file_sha256(path),
        )  # fmt: skip
        row = self.writer.record(inspection, [], [])
        self.audit.add_feedback(row, Said(label, note, "ann", "page"))
        return row

    def export(self, out, **options):
        return export_command(ExportFeedbackRequest(out, config=self.path, **options))


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path)
    yield made
    made.database.close()


def rows_of(out):
    with (out / "feedback.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_files_are_copied_as_they_were_judged_and_calibrate_reads_the_set(shop, tmp_path, capsys):
    done = tmp_path / "in-inbox.done"
    moved = write_image(done / "part 1.png")
    shop.judged("inbox", "anomalous", path=moved, note='=1+1, a\n"crack"')
    shop.judged("inbox", "normal", path=write_image(done / "b.png"))
    # Judged in the hot folder, moved since.
    again = write_image(tmp_path / "in-inbox" / "c.png")
    number = shop.judged("inbox", "normal", path=again)
    again.rename(done / "c.png")
    out = tmp_path / "out"
    assert shop.export(out, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["normal"], found["anomalous"], found["originals"]) == (2, 1, 3)
    first, _, third = rows_of(out)
    assert (out / "frames" / first["file"]).read_bytes() == moved.read_bytes()
    assert third["file"] == f"inbox-{number}.png" and third["source"] == "file"
    # A spreadsheet must not compute what somebody wrote.
    assert first["note"].startswith("'=1+1") and first["by"] == "ann"
    app = typer.Typer()
    app.command()(calibrate_data)
    answer = CliRunner().invoke(app, [str(out), "--json"])
    assert answer.exit_code == 0, answer.output
    samples = read_data(out).samples
    assert [s.label for s in samples] == [row["label"] == "anomaly" for row in rows_of(out)]
    assert len({s.unit for s in samples}) == 3


def test_frames_of_about_the_same_time_are_one_unit_and_the_last_word_counts(shop, tmp_path):
    for seconds in (0, 4, 60):
        shop.judged("belt", "normal", NOON + timedelta(seconds=seconds))
    shop.audit.add_feedback(3, Said("anomalous"))
    out = tmp_path / "out"
    assert shop.export(out) == 0
    rows = rows_of(out)
    assert [row["label"] for row in rows] == ["ok", "ok", "anomaly"]
    assert rows[0]["unit"] == rows[1]["unit"] != rows[2]["unit"]
    assert {row["source"] for row in rows} == {"kept picture"}


def test_private_lines_stay_and_pictures_that_are_gone_are_told(shop, tmp_path, capsys):
    shop.judged("scans", "normal")
    assert shop.export(tmp_path / "none") == 1
    shop.judged("belt", "normal")
    gone = shop.judged("belt", "normal", picture=False)
    out = tmp_path / "out"
    assert shop.export(out) == 0
    said = capsys.readouterr().err
    assert "line scans is private: 1 inspections with feedback stay here" in said
    assert f"1 without a picture are left out: inspections {gone}" in said
    assert [row["line"] for row in rows_of(out)] == ["belt"]
    assert not list((out / "frames").glob("scans*"))
    with pytest.raises(AgentError, match="line scans: privacy: phi"):
        shop.export(tmp_path / "other", line="scans")
    with pytest.raises(AgentError, match="is there already"):
        shop.export(out)


def test_false_alarms_go_into_a_memory_with_their_provenance(shop, tmp_path):
    done = tmp_path / "in-inbox.done"
    app = typer.Typer()
    app.command()(calibrate_memory)

    def memory(*arguments):
        answer = CliRunner().invoke(app, [str(one) for one in arguments])
        assert answer.exit_code == 0, answer.output

    for number in range(2):
        write_image(tmp_path / "good" / f"{number}.png", size=(64, 64))
    memory(tmp_path / "good", "--layout", "plain", "--out", tmp_path / "m", "--tokens", 200, "--features", "backbone")
    false_alarm = write_image(done / "false.png", size=(64, 64))
    shop.judged("inbox", "normal", path=false_alarm)
    shop.judged("inbox", "anomalous", path=write_image(done / "true.png", size=(64, 64)))
    assert shop.export(tmp_path / "out") == 0
    memory(tmp_path / "out", "--out", tmp_path / "n", "--add", tmp_path / "m", "--keep-outliers", "--tokens", 200)
    before, after = (load_memory(tmp_path / name).manifest.provenance for name in "mn")
    assert after["pictures"] == [*before["pictures"], file_sha256(false_alarm)]
    assert len(after["data_sha256"]) == 2
