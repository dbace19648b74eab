"""A running agent as a PLC and a SCADA system see it: verdicts as they are committed, and NG once it is not well."""

import shutil
import sqlite3
import time
from contextlib import closing
from datetime import datetime

import pytest
from asyncua.sync import Client
from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

from agent.plc.addresses import BLOCK, Coil, Register
from agent.plc.opcua import NAMESPACE
from tests.e2e.running_agent import SAMPLES, RunningAgent
from tests.factories.brokers import free_port

NORMAL = SAMPLES / "inbox" / "tile_good_01.png"
DEFECT = SAMPLES / "inbox" / "tile_hole_09.png"
MOST_S = 0.1
FILES = 7


@pytest.fixture
def agent(tmp_path):
    def change(config):
        config["lines"] = [line for line in config["lines"] if line["name"] == "inbox"]
        config["lines"][0]["source"]["rescan_s"] = 0.5
        config["plc"] = {
            "modbus": {"listen": f"127.0.0.1:{free_port()}", "slots": {"inbox": 0}},
            "opcua": {"listen": f"127.0.0.1:{free_port()}"},
        }

    running = RunningAgent(tmp_path / "agent", change)
    running.start()
    yield running
    running.close()


class Plc:
    """What a PLC knows of the line."""

    def __init__(self, client):
        self._client = client

    def coil(self, coil):
        return self._client.read_coils(0, count=BLOCK).bits[coil]

    def word(self, register):
        return self._client.read_input_registers(0, count=BLOCK).registers[register]


def commits(agent):
    """When each result was committed, oldest first, by the clock on the wall; the flush to disk comes after it."""
    with closing(sqlite3.connect(agent.folder / "var" / "agent.db", timeout=10)) as database:
        rows = database.execute("select committed from outbox where topic like '%/inbox/result' order by id").fetchall()
    return [datetime.fromisoformat(f"{row[0]}+00:00").timestamp() for row in rows]


def test_verdicts_are_read_as_they_are_committed_and_nothing_is_ok_any_more_when_the_agent_is_not_well(agent):
    plc_section = agent.config.read_text(encoding="utf-8")
    modbus_port, opcua_port = (
        int(part.split("127.0.0.1:")[1].split()[0]) for part in plc_section.split("plc:")[1].split("listen:")[1:]
    )
    client = ModbusTcpClient("127.0.0.1", port=modbus_port, timeout=5)
    assert client.connect()
    plc = Plc(client)
    agent.until(lambda: plc.coil(Coil.READY), "the line to be ready")
    assert plc.coil(Coil.NG) and plc.coil(Coil.NO_VERDICT)
    by_modbus, by_opcua = [], []
    with Client(f"opc.tcp://127.0.0.1:{opcua_port}/fbclip") as scada:
        space = scada.get_namespace_index(NAMESPACE)
        node = scada.nodes.objects.get_child([f"{space}:demo", f"{space}:inbox", f"{space}:Number"])

        def both_have(number):
            for times, read in ((by_modbus, lambda: plc.word(Register.NUMBER)), (by_opcua, node.read_value)):
                if len(times) < number and read() == number:
                    times.append(time.time())
            return len(by_modbus) == len(by_opcua) == number

        for number in range(1, FILES + 1):
            agent.drop(DEFECT if number % 2 else NORMAL, f"{number}.png")
            agent.until(lambda n=number: both_have(n), "the verdict")
            assert plc.coil(Coil.OK) is (number % 2 == 0) is not plc.coil(Coil.NG)
    committed = commits(agent)
    assert len(committed) == FILES
    for times in (by_modbus, by_opcua):
        delays = sorted(at - commit for at, commit in zip(times, committed, strict=True))
        assert delays[FILES // 2] < MOST_S, delays
    # The line is lost, after a good part.
    agent.drop(NORMAL, "last.png")
    agent.until(lambda: plc.coil(Coil.OK) and not plc.coil(Coil.NO_VERDICT), "a last good part")
    beat = plc.word(Register.AGENT_HEARTBEAT)
    agent.until(lambda: plc.word(Register.AGENT_HEARTBEAT) > beat, "the heartbeat")
    shutil.rmtree(agent.inbox)
    agent.until(lambda: plc.coil(Coil.NO_VERDICT), "the line to be gone", 20)
    assert plc.coil(Coil.NG) and not plc.coil(Coil.OK)
    last = [time.monotonic(), plc.word(Register.AGENT_HEARTBEAT)]

    def stands_still():
        if (now := plc.word(Register.AGENT_HEARTBEAT)) != last[1]:
            last[:] = time.monotonic(), now
        return time.monotonic() - last[0] > 2.5

    agent.until(stands_still, "the heartbeat to stand still", 20)
    agent.inbox.mkdir()
    agent.until(lambda: plc.word(Register.AGENT_HEARTBEAT) > last[1] and plc.coil(Coil.OK), "its return", 20)
    # The agent dies: no answer is NG, too.
    agent.process.kill()
    agent.process.wait(10)
    with pytest.raises(ModbusException):
        plc.coil(Coil.OK)
    client.close()
