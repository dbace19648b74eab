"""A real Modbus client reads what was committed, acknowledges it, and may do nothing else."""

import struct
import time

import pytest
from pymodbus.client import ModbusTcpClient

from agent.config.plc import ModbusSection
from agent.errors import AgentError
from agent.plc.addresses import BLOCK, Coil, Register
from agent.plc.modbus import ModbusServer
from fbclip.decision import Verdict


@pytest.fixture
def server(board):
    server = ModbusServer(ModbusSection(listen="127.0.0.1:0", slots={"belt": 0, "inbox": 2}), board)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(server):
    client = ModbusTcpClient("127.0.0.1", port=server.port, timeout=5)
    assert client.connect()
    yield client
    client.close()


def coils(client, slot=0):
    return client.read_coils(BLOCK * slot, count=BLOCK).bits[:BLOCK]


def words(client, slot=0):
    return client.read_input_registers(BLOCK * slot, count=BLOCK).registers


def test_a_verdict_is_read_within_100_ms_of_its_commit(line, client):
    delays = []
    for number in range(1, 11):
        line.commit(Verdict.ANOMALY if number % 2 else Verdict.OK)
        while words(client)[Register.NUMBER] != number:
            pass
        delays.append(time.monotonic() - line.committed)
        assert coils(client)[Coil.OK] is (number % 2 == 0)
    assert sorted(delays)[5] < 0.1


def test_all_that_is_known_of_a_verdict(line, client):
    line.commit(Verdict.ANOMALY)
    found = words(client)
    assert found[Register.VERDICT] == 3 and found[Register.WAITING] == 0
    z, threshold, score = (
        struct.unpack(">f", struct.pack(">HH", *found[at : at + 2]))[0]
        for at in (Register.Z, Register.THRESHOLD, Register.SCORE)
    )
    assert (z, threshold) == (1.5, 1.0) and score == pytest.approx(0.9)
    assert client.read_holding_registers(0, count=BLOCK).registers[:8] == found[:8]
    assert client.read_discrete_inputs(0, count=8).bits[:8] == coils(client)[:8]


def test_the_handshake(line, board, client):
    line.commit(Verdict.OK)
    assert coils(client)[Coil.DONE] and coils(client)[Coil.OK]
    for value in (True, False):
        assert not client.write_coil(Coil.ACK, value).isError()
        assert coils(client)[Coil.ACK] is value and not coils(client)[Coil.DONE]
    line.commit(Verdict.ANOMALY)
    line.commit(Verdict.OK)
    assert coils(client)[Coil.NG] and words(client)[Register.WAITING] == 1
    client.write_coil(Coil.ACK, True)
    client.write_coil(Coil.ACK, False)
    assert coils(client)[Coil.OK] and coils(client)[Coil.DONE]


def test_nothing_else_can_be_written(line, client):
    line.commit(Verdict.ANOMALY)
    before = coils(client)
    for answer in (
        client.write_coil(Coil.OK, True),
        client.write_coils(0, [True] * 8),
        client.write_coil(BLOCK + Coil.ACK, True),
        client.write_register(Register.VERDICT, 1),
        client.write_registers(0, [1, 1]),
    ):
        assert answer.isError()
    assert coils(client) == before and words(client)[Register.VERDICT] == 3


def test_what_does_not_run_is_ng_and_its_heartbeat_stands_still(line, board, client):
    line.commit(Verdict.OK)
    beats = []
    for running in (True, True, False, False):
        board.look({"belt": running}, healthy=running)
        beats.append(
            (words(client)[Register.HEARTBEAT], words(client)[Register.AGENT_HEARTBEAT], coils(client)[Coil.OK])
        )
    assert beats == [(3, 3, True), (4, 4, True), (4, 4, False), (4, 4, False)]
    assert coils(client)[Coil.NG] and coils(client)[Coil.NO_VERDICT] and not coils(client)[Coil.READY]
    assert coils(client, 2)[Coil.NG] and not coils(client, 2)[Coil.OK]


def test_an_agent_that_looks_no_more_is_ng(tmp_path, line, client, board, monkeypatch):
    line.commit(Verdict.OK)
    assert coils(client)[Coil.OK]
    later = time.monotonic() + 60
    monkeypatch.setattr(board, "_monotonic", lambda: later)
    assert coils(client)[Coil.NG] and not coils(client)[Coil.OK]


def test_a_taken_port_is_one_line(server, board):
    section = ModbusSection(listen=f"127.0.0.1:{server.port}", slots={"belt": 0})
    with pytest.raises(
        AgentError, match=r"^plc\.modbus: 127\.0\.0\.1:\d+ cannot be listened on: Address already in use$"
    ):
        ModbusServer(section, board).start()
