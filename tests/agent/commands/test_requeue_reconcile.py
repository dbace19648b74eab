"""`agent requeue` and `agent reconcile` on real folders and a real store, with an agent that runs and without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import update

from agent.commands.options import ReconcileRequest, RequeueRequest
from agent.commands.reconcile import reconcile_command
from agent.commands.requeue import requeue_command
from agent.config.loader import load_config
from agent.pipeline.lines import Line
from agent.pipeline.moves import move_judged
from agent.pipeline.requeue import FailedRequeue
from agent.records import SUPERSEDED, Disposition
from agent.sources.disposition import judged_sha256
from agent.store.access import open_writer
from agent.store.audit import AuditLog
from agent.store.ledger import Ledger
from agent.store.lock import DataLock
from agent.store.schema import files
from agent.store.writer import Writer
from agent.web.app import create_app
from agent.web.server import WebServer
from fbclip.decision import Verdict
from fbclip.errors import ConfigError
from tests.factories.agent import an_inspection
from tests.factories.page import example_page
from tests.factories.steering import steered, write_config


class Hall:
    """A folder line `belt` whose files are judged as told."""

    def __init__(self, folder: Path, **source) -> None:
        self.folder = folder
        source = {"type": "folder", "path": "in-belt", "settle_s": 0, "recursive": True} | source
        self.config = write_config(folder, {"name": "belt", "mode": "learning", "source": source})
        self.hot, self.done, self.failed = (folder / f"in-belt{end}" for end in ("", ".done", ".failed"))
        config = load_config(self.config)
        self.line = Line(config.lines[0], "adapter")
        self.url = config.store_url
        self.database = open_writer(self.url, "demo")
        self.ledger, self.writer = Ledger(self.database), Writer(self.database)
        self.writer.start_run("run-1", lambda step: None)
        self.count = 0

    def judged(self, name: str, verdict: Verdict = Verdict.OK, move: bool = True) -> int:
        path = self.hot / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        info, sha = path.stat(), judged_sha256(path)
        file_id = self.ledger.add_claimed("belt", str(path), info.st_size, info.st_mtime_ns)
        self.ledger.opened(file_id, sha)
        self.count += 1
        inspection = an_inspection(
            verdict, self.count, line="belt", path=str(path), file_id=file_id, sha256=sha, discrete=True
        )
        self.writer.record(inspection, (), ())
        if move:
            move_judged(self.writer, self.line, inspection)
        return file_id

    def requeue(self, file: Path | None = None, **options) -> int:
        return requeue_command(RequeueRequest(file, config=self.config, **options))

    def reconcile(self, capsys):
        code = reconcile_command(ReconcileRequest(self.config, as_json=True))
        found = json.loads(capsys.readouterr().out)
        assert found["fits"] is (code == 0)
        return found["lines"][0]


@pytest.fixture
def hall(tmp_path):
    made = Hall(tmp_path)
    yield made
    made.database.close()


def test_all_that_failed_goes_back_with_its_structure_and_over_nothing(hall, capsys):
    hall.judged("lot/a.png", Verdict.REJECTED)
    hall.judged("b.png", Verdict.REJECTED)
    hall.judged("c.png")
    (hall.hot / "b.png").write_bytes(b"another part meanwhile")
    assert hall.requeue(everything=True) == 0
    assert capsys.readouterr().out == "done   line belt: files to be judged again: 2\n"
    assert (hall.hot / "lot" / "a.png").read_bytes() == b"lot/a.png"
    assert (hall.hot / "b.png").read_bytes() == b"another part meanwhile"
    assert (hall.hot / "b-1.png").read_bytes() == b"b.png" and (hall.done / "c.png").exists()
    info = (hall.hot / "lot" / "a.png").stat()
    known = hall.ledger.find("belt", str(hall.hot / "lot" / "a.png"), info.st_size, info.st_mtime_ns)
    assert known.disposition is Disposition.FINISHED
    (entry,) = AuditLog(hall.database).entries()
    assert (entry.origin, entry.verb, entry.ok, entry.detail) == (
        "direct",
        "requeue",
        True,
        {"asked": {"all": True, "line": None}},
    )
    assert hall.requeue(everything=True) == 0
    assert "there is nothing to judge again" in capsys.readouterr().out


def test_one_file_goes_back_and_what_is_none_is_refused(hall, capsys):
    hall.judged("c.png")
    assert hall.requeue(hall.done / "c.png", as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == {
        "ok": True,
        "text": "line belt: files to be judged again: 1 ('c.png')",
    }
    assert (hall.hot / "c.png").exists() and not (hall.done / "c.png").exists()
    hall.judged("d.png", Verdict.REJECTED)
    (hall.failed / "link.png").symlink_to(hall.config)
    for wrong, says in (
        (hall.config, "lies in no hot folder"),
        (hall.failed / "d.png.reason.json", "no such judged file"),
        (hall.failed / "link.png", "no such judged file"),
        (hall.failed / ".." / "agent.yaml", "lies in no hot folder"),
        (hall.hot / "c.png", "has no verdict"),
    ):
        assert hall.requeue(wrong) == 1
        assert says in capsys.readouterr().out
    with pytest.raises(ConfigError, match="either a file or --all"):
        hall.requeue()
    with pytest.raises(ConfigError, match="no such line"):
        hall.requeue(everything=True, line="dock")


def test_a_file_that_stayed_and_bytes_that_have_a_verdict_are_new_again(tmp_path):
    hall = Hall(tmp_path, after="leave", judge="content")
    file_id = hall.judged("a.png")
    path, sha = hall.hot / "a.png", judged_sha256(hall.hot / "a.png")
    assert hall.ledger.has_content("belt", sha, file_id + 1)
    assert hall.requeue(path) == 0
    info = path.stat()
    assert hall.ledger.find("belt", str(path), info.st_size, info.st_mtime_ns).disposition is Disposition.FINISHED
    assert not hall.ledger.has_content("belt", sha, file_id + 1)
    hall.database.close()


def test_an_agent_that_runs_is_asked(hall, capsys, detector):
    hall.judged("a.png", Verdict.REJECTED)
    heard = []

    def submit(verb, payload, _origin, reply):
        heard.append((verb, json.loads(payload)))
        reply({"ok": True, "text": "heard"})
        return True

    server = WebServer(create_app(example_page(submit=submit)), "127.0.0.1", 0)
    server.start()
    try:
        web = {"web": {"listen": f"127.0.0.1:{server.port}"}}
        text = hall.config.read_text()
        hall.config.write_text(text + f"web: {json.dumps(web['web'])}\n")
        with DataLock(load_config(hall.config).agent.data_dir):
            assert hall.requeue(hall.failed / "a.png", line="belt") == 0
    finally:
        server.stop()
    ((verb, body),) = heard
    assert (verb, body["file"], body["line"]) == ("requeue", str(hall.failed / "a.png"), "belt") and body["by"]
    assert capsys.readouterr().out == "done   heard\n"


def test_the_steward_requeues_and_writes_who_it_was(hall, detector):
    hall.judged("a.png", Verdict.REJECTED)
    hall.database.close()
    with steered(detector, hall.config) as agent:
        answer = agent.tell("requeue", all=True, by="ann")
        assert (answer.ok, answer.text) == (True, "line belt: files to be judged again: 1")
        (entry,) = agent.audit.entries()
        assert (entry.verb, entry.by, entry.origin) == ("requeue", "ann", "ctl")
        assert not agent.tell("requeue").ok and not agent.tell("requeue", all=True, line="dock").ok


def test_thousands_go_back_while_other_commands_are_followed(hall, detector, monkeypatch):
    monkeypatch.setattr("agent.steering.steward.REQUEUE_S", 0.0)
    monkeypatch.setattr("agent.steering.steward.REQUEUE_MORE_S", 0.0)
    for number in range(6):
        hall.judged(f"{number}.png", Verdict.REJECTED)
    hall.database.close()

    def left() -> int:
        return len([path for path in hall.failed.iterdir() if path.suffix == ".png"])

    with steered(detector, hall.config) as agent:
        answer = agent.tell("requeue", all=True)
        assert (answer.ok, answer.text) == (
            True,
            "line belt: files to be judged again: 1; the others follow in the background",
        )
        # A part for each command that is followed.
        assert left() == 4
        assert agent.tell("requeue", all=True).text.endswith("again: 2; a requeue of all is under way")
        assert agent.tell("disable", line="belt").ok and left() == 2
        for _ in range(4):
            agent.steward.step(0)
        assert left() == 0
        assert agent.tell("requeue", all=True).text == "there is nothing to judge again"


def test_what_is_broken_off_midway_has_lost_nothing(hall):
    for number in range(6):
        hall.judged(f"{number}.png", Verdict.REJECTED)
    first = FailedRequeue([hall.line.section], hall.ledger)
    assert not first.go_on(0.0) and not first.go_on(0.0)
    # The agent is killed here.
    names = {path.name for folder in (hall.hot, hall.failed) for path in folder.glob("*.png")}
    assert names == {f"{number}.png" for number in range(6)}
    again = FailedRequeue([hall.line.section], hall.ledger)
    assert again.go_on()
    assert (first.so_far.counts, again.so_far.counts) == ({"belt": 2}, {"belt": 4})
    assert len(list(hall.hot.glob("*.png"))) == 6


def test_files_that_were_left_are_new_again_many_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.pipeline.requeue._AT_ONCE", 2)
    hall = Hall(tmp_path, after="leave")
    for number in range(5):
        hall.judged(f"{number}.png", Verdict.REJECTED)
    hall.judged("ok.png")
    revision = hall.ledger.revision
    every = FailedRequeue([hall.line.section], hall.ledger)
    assert every.go_on() and every.so_far.counts == {"belt": 5}
    # The folder is looked through once for all of them.
    assert hall.ledger.revision == revision + 1
    assert {row.path for row in hall.ledger.staying()} == {str(hall.hot / "ok.png")}
    hall.database.close()


def test_the_other_version_of_a_chosen_slice_stays_where_it_is(hall):
    file_id = hall.judged("a.png", Verdict.REJECTED)
    hall.judged("b.png", Verdict.REJECTED)
    with hall.database.transaction() as connection:
        connection.execute(update(files).where(files.c.id == file_id).values(reason=SUPERSEDED))
    assert hall.requeue(everything=True) == 0
    assert [path.name for path in hall.hot.iterdir()] == ["b.png"]
    assert hall.requeue(hall.failed / "a.png") == 0
    assert (hall.hot / "a.png").exists()


def test_everything_is_accounted_for(hall, capsys):
    hall.judged("a.png")
    hall.judged("lot/b.png", Verdict.REJECTED)
    hall.judged("c.png", move=False)
    skipped = hall.hot / "report.dcm"
    skipped.write_bytes(b"report")
    file_id = hall.ledger.add_claimed("belt", str(skipped), 6, skipped.stat().st_mtime_ns)
    hall.ledger.skip(file_id, judged_sha256(skipped), "no_image_object")
    waits = hall.hot / "d.png"
    waits.write_bytes(b"d")
    hall.ledger.add_claimed("belt", str(waits), 1, waits.stat().st_mtime_ns)
    (hall.hot / "new.png").write_bytes(b"new")
    hall.judged("e.png")
    (hall.done / "e.png").unlink()
    line = hall.reconcile(capsys)
    assert line["misfits"] == []
    assert line["states"] == {"pending": 0, "claimed": 1, "done": 3, "failed": 1, "skipped": 1}
    assert line["arrived"] == sum(line["states"].values()) == 6
    assert (line["waiting"], line["in_done"], line["in_failed"], line["taken_away"]) == (1, 1, 1, 1)
    # One that came again is where its last row says.
    hall.requeue(hall.failed / "lot" / "b.png")
    capsys.readouterr()
    line = hall.reconcile(capsys)
    assert (line["misfits"], line["waiting"], line["in_failed"]) == ([], 2, 0)


def test_what_does_not_fit_is_named(hall, capsys):
    hall.judged("twice.png")
    twice = an_inspection(Verdict.OK, 99, line="belt", path="twice.png", file_id=1, sha256="0" * 64, discrete=True)
    hall.writer.record(twice, (), ())
    hall.writer.finish_disposition(1)
    hall.ledger.add_claimed("belt", str(hall.hot / "lost.png"), 3, 4)
    hall.judged("wrong.png")
    hall.failed.mkdir()
    (hall.done / "wrong.png").rename(hall.failed / "wrong.png")
    (hall.done / "foreign.png").write_bytes(b"nobody judged this")
    assert reconcile_command(ReconcileRequest(hall.config)) == 1
    out = capsys.readouterr().out
    for name, what in (
        (hall.hot / "twice.png", "was judged 2 times"),
        (hall.hot / "lost.png", "claimed, and is not in the hot folder"),
        (hall.failed / "wrong.png", "lies in failed, and is done"),
        (hall.done / "foreign.png", "lies in done, and is not in the database"),
    ):
        assert f"  {name}: {what}\n" in out, out


def test_a_folder_that_is_gone_does_not_fit(hall, capsys):
    hall.judged("a.png")
    hall.hot.rename(hall.folder / "away")
    assert "cannot be read: No such file" in hall.reconcile(capsys)["misfits"][0]["what"]
