"""The board by Modbus TCP: each request is answered from the signals of that moment."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from agent.config.plc import MOST_SLOTS, ModbusSection
from agent.plc.addresses import BLOCK, Coil, coils_of, registers_of
from agent.plc.board import PlcBoard
from agent.plc.server_thread import PlcServer
from fbclip.errors import ConfigError

_WRITES_COILS = frozenset({5, 15})
_READS_COILS = frozenset({1, 2})


class ModbusServer(PlcServer):
    """One device; coils and discrete inputs are the same, and so are holding and input registers."""

    key = "plc.modbus"

    def __init__(self, section: ModbusSection, board: PlcBoard) -> None:
        """Raises ConfigError where pymodbus is not installed."""
        super().__init__(section.host, section.port)
        self._board = board
        self._lines = {slot: line for line, slot in section.slots.items()}
        try:
            import pymodbus  # noqa: F401
        except ImportError as error:
            raise ConfigError("plc.modbus needs pymodbus: pip install 'fbclip-inspect[plc]'") from error
        # It logs what it is sent.
        logging.getLogger("pymodbus").setLevel(logging.ERROR)

    async def serve(self, ending: asyncio.Event) -> None:
        from pymodbus.server import ModbusTcpServer
        from pymodbus.simulator import DataType, SimData, SimDevice

        size = BLOCK * (max(self._lines) + 1)
        bits = [SimData(0, values=[False] * size, datatype=DataType.BITS)]
        words = [SimData(0, values=[0] * size, datatype=DataType.REGISTERS, readonly=True)]
        device = SimDevice(0, simdata=(bits, [*bits], words, [*words]), action=self._answer)
        server = ModbusTcpServer(device, address=(self._host, self._port))
        await server.serve_forever(background=True)
        try:
            listening: Any = server.transport
            self.is_up(listening.sockets[0].getsockname()[1])
            await ending.wait()
        finally:
            await server.shutdown()  # type: ignore[no-untyped-call]

    async def _answer(
        self,
        function: int,
        _start: int,
        address: int,
        _count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> Any:
        """Called with each request before it is answered: fills the registers, or refuses a write."""
        from pymodbus.constants import ExcCodes

        if values is not None:
            if function not in _WRITES_COILS or not self._acknowledged(address, values):
                return ExcCodes.ILLEGAL_ADDRESS
            # What was written is answered from the board like everything else.
            self._fill_coils(registers)
        elif function in _READS_COILS:
            self._fill_coils(registers)
        else:
            now = time.monotonic()
            for slot, line in self._lines.items():
                found = registers_of(self._board.shown(line), self._board.agent_heartbeat, now)
                registers[BLOCK * slot : BLOCK * (slot + 1)] = found
        return None

    def _acknowledged(self, address: int, values: list[int] | list[bool]) -> bool:
        """Whether all that is written is Ack of lines that there are; then it is taken."""
        places = [divmod(address + at, BLOCK) for at in range(len(values))]
        if any(place != Coil.ACK or slot not in self._lines for slot, place in places):
            return False
        for (slot, _), value in zip(places, values, strict=True):
            self._board.acknowledge(self._lines[slot], bool(value))
        return True

    def _fill_coils(self, registers: list[int]) -> None:
        for slot, line in self._lines.items():
            bits = coils_of(self._board.shown(line))
            registers[slot] = sum(1 << at for at, bit in enumerate(bits) if bit)


assert MOST_SLOTS * BLOCK <= 0x10000, "more slots than Modbus has addresses"
