"""What stands at which Modbus address: 16 coils and 16 registers a line; inputs and holding registers say the same."""

from __future__ import annotations

import struct
from enum import IntEnum

from agent.plc.board import ShownLine
from fbclip.decision import Verdict

BLOCK = 16
"""Coils, and registers, of one slot."""


class Coil(IntEnum):
    """Coil or discrete input of a line: BLOCK × slot + this. A PLC writes ACK, and nothing else."""

    OK = 0
    NG = 1
    NO_VERDICT = 2
    HEARTBEAT = 3
    READY = 4
    BUSY = 5
    DONE = 6
    ACK = 7


class Register(IntEnum):
    """Register of a line: BLOCK × slot + this. Z, THRESHOLD and SCORE are float32 in two registers, high word first."""

    NUMBER = 0
    VERDICT = 1
    Z = 2
    THRESHOLD = 4
    SCORE = 6
    AGE_TENTHS = 8
    HEARTBEAT = 9
    WAITING = 10
    LOST = 11
    AGENT_HEARTBEAT = 12


VERDICTS = {None: 0, Verdict.OK: 1, Verdict.UNCERTAIN: 2, Verdict.ANOMALY: 3, Verdict.REJECTED: 4}
_MOST = 0xFFFF


def coils_of(line: ShownLine) -> list[bool]:
    """(BLOCK,) bits of one line."""
    signals = line.signals
    bits = [False] * BLOCK
    bits[Coil.OK], bits[Coil.NG] = line.ok, not line.ok
    bits[Coil.NO_VERDICT] = signals.no_verdict
    bits[Coil.HEARTBEAT] = bool(line.heartbeat % 2)
    bits[Coil.READY], bits[Coil.BUSY] = signals.ready, signals.busy
    bits[Coil.DONE], bits[Coil.ACK] = signals.done, signals.acknowledged
    return bits


def registers_of(line: ShownLine, agent_heartbeat: int, now: float) -> list[int]:
    """(BLOCK,) words of one line at `now` (monotonic s). A number that is unknown is NaN; counters wrap at 65536."""
    signals, result = line.signals, line.signals.result
    words = [0] * BLOCK
    words[Register.NUMBER] = 0 if result is None else result.number & _MOST
    words[Register.VERDICT] = VERDICTS[None if result is None else result.verdict]
    values = (None, None, None) if result is None else (result.z, result.threshold, result.score)
    for at, value in zip((Register.Z, Register.THRESHOLD, Register.SCORE), values, strict=True):
        words[at : at + 2] = struct.unpack(">HH", struct.pack(">f", float("nan") if value is None else value))
    words[Register.AGE_TENTHS] = _MOST if result is None else min(_MOST, max(0, round(10 * (now - result.at))))
    words[Register.HEARTBEAT] = line.heartbeat & _MOST
    words[Register.WAITING] = len(signals.waiting)
    words[Register.LOST] = signals.lost & _MOST
    words[Register.AGENT_HEARTBEAT] = agent_heartbeat & _MOST
    return words
