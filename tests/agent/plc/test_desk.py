"""What health says decides what PLCs may rely on; a server that ended is named by health."""

import itertools

import pytest

from agent.config.line import LineSection
from agent.config.loader import load_config
from agent.config.plc import ModbusSection, PlcSection
from agent.health import HealthSnapshot
from agent.line_states import LineHealth, LineState
from agent.plc.addresses import Coil, coils_of
from agent.plc.desk import PlcDesk
from agent.records import LineCounters, LineMode
from agent.sources.sinks import Tally
from agent.sources.trigger_gates import TriggerGates
from fbclip.decision import Verdict
from fbclip.errors import ConfigError
from tests.factories.agent import a_judged, an_inspection


def snapshot(mode=LineMode.LIVE, state=LineState.RUNNING, problem=None, **changes):
    return HealthSnapshot((LineHealth("belt", mode, "watching", problem, LineCounters(), state),), **changes)


@pytest.fixture
def desk():
    return PlcDesk(PlcSection(hold_s=0), "demo", ["belt"], TriggerGates())


def ok(desk, found):
    desk.board.inspected(a_judged(an_inspection(Verdict.OK)))
    desk.look(found)
    return desk.board.shown("belt").ok


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (snapshot(), True),
        (snapshot(mode=LineMode.SHADOW), False),
        (snapshot(state=LineState.DISABLED), False),
        (snapshot(problem="line belt: no frame for 9 s"), False),
        (snapshot(pipeline_failure="the detector hangs"), False),
        (snapshot(store_problem="disk full"), False),
        (snapshot(broker_problem="refused"), True),
    ],
)
def test_only_a_line_that_judges_and_records_is_ever_ok(desk, found, shown):
    assert ok(desk, found) is shown


def test_the_agents_heartbeat_stops_with_any_problem(desk):
    for found in (snapshot(), snapshot(broker_problem="refused"), snapshot()):
        desk.look(found)
    assert desk.board.agent_heartbeat == 2


def test_a_line_is_busy_and_not_ready_from_its_trigger_to_the_answer():
    gates = TriggerGates()
    camera = {"type": "camera", "device": 0, "trigger": "mqtt"}
    section = LineSection(name="belt", source=camera, profile="p")
    gate = gates.of(section, Tally(), itertools.count())
    gate.use(section)
    desk = PlcDesk(PlcSection(hold_s=0), "demo", ["belt"], gates)
    desk.look(snapshot())

    def shown():
        bits = coils_of(desk.board.shown("belt"))
        return bits[Coil.READY], bits[Coil.BUSY], bits[Coil.DONE]

    assert shown() == (True, False, False)
    assert gate.ask({"part": "A1"}) is None
    assert shown() == (False, True, False)
    gate.give_up_all("timeout")
    (refusal,) = gate.due()
    desk.board.inspected(a_judged(an_inspection(Verdict.REJECTED)))
    gate.answered(refusal.part, "timeout")
    assert shown() == (False, False, True)


@pytest.mark.parametrize("mode", [LineMode.SHADOW, LineMode.LEARNING])
def test_lines_that_are_not_live_tell_no_verdict(desk, mode):
    desk.board.inspected(a_judged(an_inspection(Verdict.OK, mode=mode)))
    desk.look(snapshot(mode=mode))
    assert desk.board.shown("belt").signals.result is None


def test_a_server_that_ended_is_named(desk, monkeypatch):
    desk = PlcDesk(
        PlcSection(modbus=ModbusSection(listen="127.0.0.1:0", slots={"belt": 0})), "demo", [], TriggerGates()
    )

    async def breaks(_):
        raise RuntimeError("no more sockets")

    monkeypatch.setattr(desk.servers[0], "serve", breaks)
    desk.servers[0]._run()
    assert desk.problems() == ("plc.modbus: no more sockets",)


@pytest.mark.parametrize(
    ("plc", "text"),
    [
        ("{modbus: {slots: {other: 0}}}", "plc.modbus.slots names lines that there are not: other"),
        ("{modbus: {slots: {belt: 0, inbox: 0}}}", "two lines have the same slot"),
        ("{modbus: {listen: '0.0.0.0:502', slots: {belt: 0}}}", "say network: true to allow it"),
        ("{opcua: {username: me}}", "username and password_env belong together"),
        ("{modbus: {slots: {belt: 64}}}", "less than 64"),
    ],
)
def test_what_would_read_the_wrong_line_or_open_a_door_is_refused(tmp_path, plc, text):
    path = tmp_path / "agent.yaml"
    folder = "source: {type: folder, path: %s}, profile: p.yaml"
    lines = "".join(f"  - {{name: {n}, {folder % n}}}\n" for n in ("belt", "inbox"))
    path.write_text(f"lines:\n{lines}plc: {plc}\n")
    with pytest.raises(ConfigError, match=text):
        load_config(path)
