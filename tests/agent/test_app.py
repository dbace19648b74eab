"""The daemon: what one step reports and maintains, and how a run starts and ends."""

import json
import logging
import shutil
import socket
import threading
import time
import urllib.request
from collections import Counter
from contextlib import ExitStack
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import yaml
from pydicom.uid import ComprehensiveSRStorage, generate_uid

from agent.app import Daemon
from agent.config.loader import load_config
from agent.errors import AgentError, StoreError
from agent.mqtt.contract import channel_of
from agent.mqtt.pump import Pump
from agent.parts import Setting, build_parts
from agent.pipeline.judge import Judge
from agent.pipeline.recorder import Recorder
from agent.sources.folder import Folder
from agent.steering.overrides import Overrides
from agent.steering.steward import Steward
from agent.store.access import open_reader
from agent.store.lock import is_locked
from agent.store.reader import Reader
from fbclip.artefacts.profile_file import save_profile
from tests.factories.agent import FakeMqttClient, row_count
from tests.factories.brokers import wait_until
from tests.factories.contract import keep_to_the_contract
from tests.factories.lines import a_profile
from tests.factories.scans import NAME, a_nifti, blob, dicom_bytes, dicom_dataset


@pytest.fixture
def client(monkeypatch):
    """What the agent says to its broker goes here."""
    fake = FakeMqttClient(answering=True)
    monkeypatch.setattr("agent.parts.PahoClient", lambda *_: fake)
    yield fake
    keep_to_the_contract((topic, json.loads(payload)) for _, topic, payload, _ in fake.sent)
    for _, topic, _, retain in fake.sent:
        assert retain == channel_of(topic, "fbclip").retained, topic


@pytest.fixture
def stack():
    with ExitStack() as opened:
        yield opened


def build(tmp_path, detector, stack, mode="shadow", lines=None, **options):
    """Parts of one line that watches a folder, on a tiny detector; or of `lines`, as agent.yaml has them."""
    (tmp_path / "in").mkdir(exist_ok=True)
    save_profile(a_profile(detector, threshold=-1e9), tmp_path / "p.yaml")
    line = {
        "name": "belt",
        "source": {"type": "folder", "path": str(tmp_path / "in"), "settle_s": 0, "rescan_s": 0.05},
        "profile": "p.yaml",
        "mode": mode,
    }
    document = {
        "agent": {"name": "demo"},
        "mqtt": {"url": "mqtt://127.0.0.1:1"},
        "web": {"listen": "127.0.0.1:0"},
        "lines": lines or [line],
    }
    path = tmp_path / "agent.yaml"
    path.write_text(yaml.safe_dump(document))
    return build_parts(Setting(path, load_config(path), Overrides(), **options), detector, stack)


@pytest.fixture
def parts(tmp_path, detector, stack, client):
    return build(tmp_path, detector, stack)


@pytest.fixture
def retained(parts, monkeypatch):
    """Retained topics with the latest body. Nothing is started in these tests, so nothing is mended."""
    bodies = {}
    monkeypatch.setattr(parts.mending, "look", lambda now: None)
    monkeypatch.setattr(parts.sender, "retain", bodies.__setitem__)
    return bodies


def test_a_step_reports_health_to_the_topics_and_the_page(parts, retained):
    parts.recorder.problem = "disk full"
    assert Daemon(parts, lambda: 0.0).step(1.0) is None
    assert retained["fbclip/demo/health"]["problems"] == ["the sender thread ended", "disk full"]
    status = retained["fbclip/demo/belt/status"]
    drift = status.pop("drift")
    assert status == {"state": "running", "health": "starting", "mode": "shadow", "guarantee": "none"}
    # The tests' profile was set on one unit.
    assert (drift["recalibrate"], drift["findings"]) == (False, [])
    assert "calibrate anew" in drift["not_watched"]
    page = parts.page.snapshot()
    assert page["mqtt"] == "connected"
    assert (page["lines"][0]["health"], page["lines"][0]["grabbed"]) == ("starting", 0)
    assert page["lines"][0]["drift"] == drift


def test_a_problem_is_logged_when_it_comes_and_when_it_goes(parts, retained, caplog):
    daemon = Daemon(parts, lambda: 0.0)
    daemon.step(1.0)
    caplog.clear()
    with caplog.at_level(logging.INFO, "agent.health_report"):
        for now, problem in enumerate((None, "disk full", "disk full", None, None), start=2):
            parts.recorder.problem = problem
            daemon.step(float(now))
    assert [record.message for record in caplog.records] == ["not healthy: disk full", "recovered: disk full"]
    assert "disk full" not in retained["fbclip/demo/health"]["problems"]


def test_moves_are_redone_once_a_minute_and_their_failure_stops_nobody(parts, retained, monkeypatch, caplog):
    turns = []

    def move_again(*_):
        turns.append(1)
        if len(turns) == 2:
            raise StoreError("disk full")
        return Counter(belt=1)

    monkeypatch.setattr("agent.pipeline.late_moves.move_again", move_again)
    monkeypatch.setattr(parts.ledger, "unmoved", lambda: (SimpleNamespace(id=1, line="belt"),))
    daemon = Daemon(parts, lambda: 100.0)
    counts = []
    # A step after they were seen: what the recorder was moving has left by then.
    for now in (101.0, 159.9, 160.0, 161.0, 219.9, 220.0, 221.0, 280.0, 281.0):
        daemon.step(now)
        counts.append(len(turns))
    assert counts == [0, 0, 0, 1, 1, 1, 2, 2, 3]
    daemon.step(282.0)
    stuck = "line belt: 1 judged files cannot be moved out of the hot folder"
    assert stuck in retained["fbclip/demo/health"]["problems"]
    assert "maintenance failed, next try in a minute: disk full" in caplog.text


def test_a_step_mends_a_deleted_database_and_health_tells(parts, retained, tmp_path):
    for file in (tmp_path / "var").glob("agent.db*"):
        file.unlink()
    Daemon(parts, lambda: 0.0).step(1.0)
    assert (tmp_path / "var" / "agent.db").is_file()
    assert "agent.db was deleted while the agent ran" in retained["fbclip/demo/health"]["problems"][1]


def write_image(folder, name="a.png"):
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / f".{name}.png"), image)
    shutil.move(folder / f".{name}.png", folder / name)


def published(client):
    return [(topic, json.loads(payload), retain) for _, topic, payload, retain in list(client.sent)]


def test_a_run_from_start_to_clean_end(tmp_path, detector, stack, client, monkeypatch):
    monkeypatch.setattr("agent.app.WATCH_S", 0.01)
    parts = build(tmp_path, detector, stack, mode="live")
    daemon, stop, codes = Daemon(parts), threading.Event(), []
    daemon.start(stack)
    watching = threading.Thread(target=lambda: codes.append(daemon.watch(stop)))
    watching.start()
    write_image(tmp_path / "in")
    wait_until((tmp_path / "in.done" / "a.png").is_file)
    with urllib.request.urlopen(f"http://127.0.0.1:{parts.web.port}/healthz", timeout=10) as answer:
        assert answer.status == 200
    stop.set()
    watching.join(30)
    assert codes == [0]
    messages = published(client)
    by_topic = {topic: body for topic, body, _ in messages}
    assert by_topic["fbclip/demo/info"]["lines"][0]["mode"] == "live"
    assert by_topic["fbclip/demo/belt/state"]["verdict"] == "anomaly"
    assert by_topic["fbclip/demo/belt/result"]["verdict"] == "anomaly"
    assert [retain for topic, _, retain in messages if topic.endswith(("/event", "/result"))] == [False] * 3
    assert messages[-1] == ("fbclip/demo/status", {"state": "offline", "reason": "shutdown"}, True)
    assert parts.probe.snapshot().lines[0].counters.inspected == 1
    with parts.database.transaction() as connection:
        assert connection.exec_driver_sql("select clean from runs").scalar() == 1


def test_scans_are_judged_and_moved_and_name_nobody(tmp_path, detector, stack, client, monkeypatch, caplog):
    """A CT of several frames, a volume and a report, all of one patient."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("agent.app.WATCH_S", 0.01)
    parts = build(tmp_path, detector, stack, mode="live")
    now = [0.0]
    daemon, stop = Daemon(parts, lambda: now[0]), threading.Event()
    daemon.start(stack)
    watching = threading.Thread(target=daemon.watch, args=(stop,))
    watching.start()
    uid = generate_uid()
    frames = dicom_dataset(blob(11), SOPInstanceUID=uid, WindowCenter=500, WindowWidth=1400, StudyDate="19700102")
    report = dicom_dataset(blob(1)[0], SOPClassUID=ComprehensiveSRStorage)
    contents = {"IM0001": dicom_bytes(frames), "head.nii.gz": a_nifti(blob(20, 24, 9), packed=True)}
    for name, data in {**contents, "IM0002": dicom_bytes(report)}.items():
        (tmp_path / f".{name}").write_bytes(data)
        shutil.move(tmp_path / f".{name}", tmp_path / "in" / name)
    wait_until(lambda: all((tmp_path / "in.done" / name).is_file() for name in contents))
    now[0] = 61.0
    wait_until(lambda: parts.ledger.unmoved() == () and (tmp_path / "in.done" / "IM0002").is_file())
    assert list((tmp_path / "in").iterdir()) == []
    stop.set()
    watching.join(30)
    with parts.database.transaction() as connection:
        found = connection.exec_driver_sql("select path, frame_number, verdict, context from inspections").all()
    rows = {path.rsplit("/", 1)[1]: (number, verdict, json.loads(context)) for path, number, verdict, context in found}
    assert sorted(rows) == ["IM0001", "head.nii.gz"]
    (number, verdict, ct), (_, _, brain) = rows["IM0001"], rows["head.nii.gz"]
    assert (ct["slices"], ct["judged"], ct["window"], ct["window_from"]) == (11, 11, [-200.0, 1199.0], "file")
    assert (brain["format"], brain["slices"], brain["plane"]) == ("nifti", 9, "axial")
    assert (number, verdict) == (ct["slice"], "anomaly")
    with parts.database.transaction() as connection:
        found = connection.exec_driver_sql("select state, reason, disposition from files where state = 'skipped'").all()
    assert [tuple(row) for row in found] == [("skipped", "no_image_object", "finished")]
    said = [caplog.text, *(str(payload) for _, _, payload, _ in client.sent)]
    said += [path.read_bytes().decode("latin-1") for path in (tmp_path / "var").rglob("*") if path.is_file()]
    for word in (NAME, "Miller", "4711", "19700102", uid):
        assert not any(word in text for text in said)


def test_a_part_that_fails_for_good_ends_the_run_with_an_error(tmp_path, detector, stack, client, monkeypatch, caplog):
    def broken(*_):
        raise ValueError("nobody knows")

    monkeypatch.setattr("agent.app.WATCH_S", 0.01)
    monkeypatch.setattr(Judge, "judge", broken)
    parts = build(tmp_path, detector, stack)
    daemon = Daemon(parts)
    daemon.start(stack)
    write_image(tmp_path / "in")
    assert daemon.watch(threading.Event()) == 1
    assert "stopped because a part failed: detector: ValueError: nobody knows" in caplog.text
    assert (tmp_path / "in" / "a.png").is_file()


def test_a_start_that_fails_midway_closes_what_was_opened(tmp_path, detector, client):
    with pytest.raises(AgentError, match=r"web\.listen"), ExitStack() as stack, socket.socket() as taken:
        parts = build(tmp_path, detector, stack)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        parts.web._wanted = taken.getsockname()[1]
        Daemon(parts).start(stack)
    assert client.closed
    assert not is_locked(tmp_path / "var")


def test_events_left_open_by_an_earlier_run_are_ended_by_the_next(tmp_path, detector, client):
    with ExitStack() as first:
        parts = build(tmp_path, detector, first)
        parts.writer.start_run("run-0", lambda step: None)
        with parts.database.transaction() as connection:
            connection.exec_driver_sql(
                "insert into events (event_id, run, line, kind, opened, updated) values"
                " ('e1', 'run-0', 'belt', 'anomaly', '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
            )
    with ExitStack() as second:
        parts = build(tmp_path, detector, second)
        Daemon(parts).start(second)
        parts.lineup.stop()
        assert parts.pipeline.finish(20)
        assert row_count(parts.database, "outbox") == 0
    reader = open_reader(f"sqlite:///{tmp_path}/var/agent.db")
    assert Reader(reader).recent_events()[0].end_reason == "restart"
    reader.close()


def test_judged_files_that_cannot_be_moved_are_named_until_they_can(tmp_path, detector, stack, client):
    parts = build(tmp_path, detector, stack)
    daemon = Daemon(parts, lambda: 0.0)
    daemon.start(stack)
    # Where `done` should be made there is a file.
    (tmp_path / "in.done").write_text("")
    write_image(tmp_path / "in")
    wait_until(lambda: parts.probe.snapshot().lines[0].counters.inspected == 1)
    daemon.step(60.0)
    daemon.step(61.0)
    problem = "line belt: 1 judged files cannot be moved out of the hot folder"
    assert problem in parts.probe.problems()
    (tmp_path / "in.done").unlink()
    daemon.step(121.0)
    daemon.step(122.0)
    assert problem not in parts.probe.problems()
    daemon.shut_down()


HANGING = {
    "detector": (Judge, "judge"),
    "recorder": (Recorder, "record"),
    "folder": (Folder, "look"),
    "sender": (Pump, "step"),
    "steward": (Steward, "step"),
}


@pytest.mark.parametrize("part", HANGING)
def test_a_part_that_hangs_is_named_and_the_end_comes_all_the_same(
    tmp_path, detector, client, monkeypatch, caplog, part
):
    entered, release = threading.Event(), threading.Event()

    def hang(*_):
        entered.set()
        release.wait(30)

    monkeypatch.setattr("agent.app.WATCH_S", 0.01)
    monkeypatch.setattr(*HANGING[part], hang)
    with ExitStack() as stack:
        parts = build(tmp_path, detector, stack)
        daemon, stop, codes = Daemon(parts), threading.Event(), []
        daemon.start(stack)
        write_image(tmp_path / "in")
        assert entered.wait(10)
        for heartbeat in all_heartbeats(parts):
            heartbeat.slow_s = 0.2
        name = {"folder": "line belt: the source"}.get(part, f"the {part}")
        wait_until(lambda: any(text.startswith(f"{name} hangs: ") for text in parts.probe.problems()))
        watching = threading.Thread(target=lambda: codes.append(daemon.watch(stop)))
        began = time.monotonic()
        watching.start()
        stop.set()
        watching.join(20)
    # A second is left for what ends after this.
    assert time.monotonic() - began < 9
    assert codes == [1]
    assert f"stopped, and left behind what hangs: {name} hangs: " in caplog.text
    release.set()


def test_an_end_with_messages_that_no_broker_took_is_clean(tmp_path, detector, stack, monkeypatch):
    """They are in the outbox, and the next start sends them."""
    monkeypatch.setattr("agent.parts.PahoClient", lambda *_: FakeMqttClient(answering=False))
    monkeypatch.setattr("agent.app.WATCH_S", 0.01)
    parts = build(tmp_path, detector, stack, mode="live")
    daemon, stop, codes = Daemon(parts), threading.Event(), []
    daemon.start(stack)
    watching = threading.Thread(target=lambda: codes.append(daemon.watch(stop)))
    watching.start()
    write_image(tmp_path / "in")
    wait_until((tmp_path / "in.done" / "a.png").is_file)
    stop.set()
    watching.join(20)
    assert codes == [0]
    with parts.database.transaction() as connection:
        assert connection.exec_driver_sql("select clean from runs").scalar() == 1
        assert connection.exec_driver_sql("select count(*) from outbox where sent is null").scalar() == 3


def test_an_end_that_does_not_wait_for_a_busy_detector_is_no_failure(tmp_path, detector, client, monkeypatch):
    """A slow machine may need longer for a batch than an end may take; its files are judged by the next start."""
    entered, release = threading.Event(), threading.Event()
    monkeypatch.setattr(Judge, "judge", lambda *_: entered.set() or release.wait(30) or [])
    monkeypatch.setattr("agent.app.FINISH_S", 0.3)
    with ExitStack() as stack:
        parts = build(tmp_path, detector, stack)
        daemon, stop = Daemon(parts), threading.Event()
        daemon.start(stack)
        write_image(tmp_path / "in")
        assert entered.wait(10)
        stop.set()
        assert daemon.watch(stop) == 0
        with parts.database.transaction() as connection:
            assert connection.exec_driver_sql("select clean from runs").scalar() == 0
        release.set()


@pytest.mark.parametrize("part", ["detector", "sender"])
def test_a_part_that_hangs_for_good_ends_the_run_with_an_error(tmp_path, detector, client, monkeypatch, caplog, part):
    release = threading.Event()
    monkeypatch.setattr("agent.app.WATCH_S", 0.01)
    monkeypatch.setattr(*HANGING[part], lambda *_: release.wait(30))
    if part == "detector":
        # A busy machine may hold up a sound thread, so only the one that hangs for ever is short of time.
        monkeypatch.setattr("agent.pipeline.workers.SLOW_S", 1.0)
        monkeypatch.setattr("agent.pipeline.workers.PATIENCE_S", 2.0)
        monkeypatch.setattr("agent.patience.PATIENCE_S", 2.0)
    with ExitStack() as stack:
        parts = build(tmp_path, detector, stack)
        if part == "sender":
            parts.sender.heartbeat.slow_s, parts.sender.heartbeat.dead_s = 0.2, 0.3
        daemon = Daemon(parts)
        daemon.start(stack)
        write_image(tmp_path / "in")
        assert daemon.watch(threading.Event()) == 1
        assert f"stopped because a part failed: the {part} hangs: " in caplog.text
        release.set()


def all_heartbeats(parts):
    sources = [supervisor._running.heartbeat for supervisor in parts.lineup.supervisors]
    return [*parts.pipeline._heartbeats, parts.sender.heartbeat, parts.steward.heartbeat, *sources]


def test_a_line_that_cannot_run_is_named_everywhere_and_tried_again(tmp_path, detector, stack, client, monkeypatch):
    monkeypatch.setattr("agent.lineup.FIRST_RETRY_S", 0.05)
    good = {"name": "belt", "source": {"type": "folder", "path": "in", "settle_s": 0, "rescan_s": 0.05},
            "profile": "p.yaml", "mode": "live"}  # fmt: skip
    bad = {**good, "name": "dock", "source": {**good["source"], "path": "other"}, "profile": "none.yaml"}
    (tmp_path / "other").mkdir()
    parts = build(tmp_path, detector, stack, lines=[good, bad])
    daemon = Daemon(parts)
    daemon.start(stack)
    problem = f"line dock: {tmp_path}/none.yaml: no such profile; make one with `calibrate threshold`"
    daemon.step(1.0)
    assert problem in parts.probe.problems()
    lines = {line["name"]: line["health"] for line in parts.page.snapshot()["lines"]}
    assert lines["dock"] == problem
    write_image(tmp_path / "in")
    wait_until((tmp_path / "in.done" / "a.png").is_file)
    save_profile(a_profile(detector, line="dock"), tmp_path / "none.yaml")
    wait_until(lambda: problem not in parts.probe.problems())
    write_image(tmp_path / "other")
    wait_until((tmp_path / "other.done" / "a.png").is_file)
    daemon.shut_down()
    states = [body["state"] for topic, body, _ in published(client) if topic == "fbclip/demo/dock/status"]
    assert states[0] == "unavailable"
