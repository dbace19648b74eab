"""All of `plc`: the board, its servers, and what health says becomes what PLCs may rely on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from agent.config.plc import PlcSection
from agent.health import HealthSnapshot, problems_of
from agent.line_states import LineHealth, LineState
from agent.plc.board import PlcBoard
from agent.plc.modbus import ModbusServer
from agent.plc.opcua import OpcUaServer
from agent.plc.server_thread import PlcServer
from agent.records import LineMode
from agent.sources.trigger_gates import TriggerGates


class PlcDesk:
    """Nothing where agent.yaml has no `plc`."""

    def __init__(self, section: PlcSection, agent: str, lines: Sequence[str], gates: TriggerGates) -> None:
        """`gates`: of triggered lines. Raises ConfigError where an extra is not installed or a password not set."""
        self._gates = gates
        self.board = PlcBoard(section.hold_s, self._is_busy)
        self.servers: list[PlcServer] = []
        if section.modbus is not None:
            self.servers.append(ModbusServer(section.modbus, self.board))
        if section.opcua is not None:
            self.servers.append(OpcUaServer(section.opcua, self.board, agent, tuple(lines)))

    def start(self, stack: ExitStack) -> None:
        """`stack` stops what was started. Raises AgentError."""
        for server in self.servers:
            server.start()
            stack.callback(server.stop)

    def look(self, snapshot: HealthSnapshot) -> None:
        """Once a second; without it all lines are NG after a while."""
        records = snapshot.pipeline_failure is None and snapshot.store_problem is None
        running = {line.name: records and _judges(line) for line in snapshot.lines}
        self.board.look(running, healthy=not problems_of(snapshot))

    def _is_busy(self, line: str) -> bool:
        gate = self._gates.get(line)
        return gate is not None and gate.waiting > 0

    def problems(self) -> tuple[str, ...]:
        return tuple(server.problem for server in self.servers if server.problem is not None)


def _judges(line: LineHealth) -> bool:
    return line.state is LineState.RUNNING and line.problem is None and line.mode is LineMode.LIVE
