"""The board by OPC UA: a folder a line under `Objects/<agent>`, written with each result; events of what is not ok."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from dataclasses import dataclass
from typing import Any

from agent.config.plc import OpcUaSection
from agent.plc.board import PlcBoard, ShownLine
from agent.plc.server_thread import PlcServer
from fbclip.decision import Verdict
from fbclip.errors import ConfigError

NAMESPACE = "urn:fbclip-inspect"
LOOK_S = 1.0
SEVERITY = {Verdict.ANOMALY: 800, Verdict.REJECTED: 600, Verdict.UNCERTAIN: 400}


@dataclass(frozen=True)
class Value:
    """A variable of a line: its name in the address space, its OPC UA type, and what it is of a line."""

    name: str
    kind: str
    start: Any


VALUES = (
    Value("OK", "Boolean", False),
    Value("NG", "Boolean", True),
    Value("NoVerdict", "Boolean", True),
    Value("Ready", "Boolean", False),
    Value("Busy", "Boolean", False),
    Value("Number", "UInt32", 0),
    Value("Verdict", "String", ""),
    Value("Reason", "String", ""),
    Value("Z", "Double", float("nan")),
    Value("Threshold", "Double", float("nan")),
    Value("Score", "Double", float("nan")),
    Value("Heartbeat", "UInt32", 0),
)


def values_of(line: ShownLine) -> dict[str, Any]:
    """Name -> value, as in VALUES."""
    signals, result = line.signals, line.signals.result
    numbers = (None, None, None) if result is None else (result.z, result.threshold, result.score)
    z, threshold, score = (float("nan") if value is None else float(value) for value in numbers)
    return {
        "OK": line.ok,
        "NG": not line.ok,
        "NoVerdict": signals.no_verdict,
        "Ready": signals.running and not signals.busy,
        "Busy": signals.busy,
        "Number": signals.count & 0xFFFFFFFF,
        "Verdict": "" if result is None else result.verdict.value,
        "Reason": "" if result is None else result.reason or "",
        "Z": z,
        "Threshold": threshold,
        "Score": score,
        "Heartbeat": line.heartbeat & 0xFFFFFFFF,
    }


class OpcUaServer(PlcServer):
    """Nothing can be written to it."""

    key = "plc.opcua"

    def __init__(self, section: OpcUaSection, board: PlcBoard, agent: str, lines: tuple[str, ...]) -> None:
        """`lines`: those of the start; one that comes later has its folder with its first result or look.

        Raises ConfigError where asyncua is not installed or the password is not set.
        """
        super().__init__(section.host, section.port)
        self._section, self._board, self._agent, self._first = section, board, agent, lines
        self._password = _password(section)
        self._nodes: dict[str, dict[str, Any]] = {}
        self._folder: Any = None
        self._namespace = 0
        self._event: Any = None
        self._told: dict[str, int] = {}
        self._writing = asyncio.Lock()
        try:
            import asyncua  # noqa: F401
        except ImportError as error:
            raise ConfigError("plc.opcua needs asyncua: pip install 'fbclip-inspect[plc]'") from error
        logging.getLogger("asyncua").setLevel(logging.ERROR)
        board.on_change(lambda line: self.soon(self._tell(line)))

    async def serve(self, ending: asyncio.Event) -> None:
        from asyncua import ua
        from asyncua.crypto.permission_rules import User, UserRole
        from asyncua.server.server import Server
        from asyncua.server.user_managers import UserManager

        expected = (self._section.username, self._password)

        class Doorkeeper(UserManager):
            def get_user(self, *_: Any, username: Any = None, password: Any = None, **__: Any) -> Any:
                if expected[1] is None:
                    return User(role=UserRole.User)
                given = (str(username or ""), str(password or ""))
                same = [
                    secrets.compare_digest(a.encode(), str(b).encode()) for a, b in zip(given, expected, strict=True)
                ]
                return User(role=UserRole.User) if all(same) else None

        server = Server(user_manager=Doorkeeper())
        await server.init()
        server.set_endpoint(f"opc.tcp://{self._host}:{self._port}/fbclip")
        server.set_server_name("fbclip-inspect")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        self._namespace = await server.register_namespace(NAMESPACE)
        self._folder = await server.nodes.objects.add_object(self._namespace, self._agent)
        self._event = await server.get_event_generator(emitting_node=self._folder)
        for line in self._first:
            await self._tell(line)
        async with server:
            self.is_up(self._port)
            while not ending.is_set():
                for line in self._board.lines:
                    await self._tell(line)
                try:
                    await asyncio.wait_for(ending.wait(), LOOK_S)
                except TimeoutError:
                    continue

    async def _tell(self, line: str) -> None:
        """Write what the board says of a line now, and an event for a new result that is not ok."""
        async with self._writing:
            if self._folder is None:
                return
            from asyncua import ua

            shown = self._board.shown(line)
            nodes = self._nodes.get(line) or await self._add(line)
            values = values_of(shown)
            for value in VALUES:
                kind = getattr(ua.VariantType, value.kind)
                await nodes[value.name].write_value(ua.DataValue(ua.Variant(values[value.name], kind)))
            result = shown.signals.result
            if result is None or result.number == self._told.get(line):
                return
            self._told[line] = result.number
            if result.verdict is not Verdict.OK:
                self._event.event.Severity = SEVERITY[result.verdict]
                reason = "" if result.reason is None else f" ({result.reason})"
                await self._event.trigger(message=f"{line}: {result.verdict.value}{reason}")

    async def _add(self, line: str) -> dict[str, Any]:
        from asyncua import ua

        folder = await self._folder.add_object(self._namespace, line)
        found = {}
        for value in VALUES:
            kind = getattr(ua.VariantType, value.kind)
            found[value.name] = await folder.add_variable(self._namespace, value.name, value.start, kind)
        self._nodes[line] = found
        return found


def _password(section: OpcUaSection) -> str | None:
    if section.password_env is None:
        return None
    found = os.environ.get(section.password_env)
    if not found:
        raise ConfigError(f"plc.opcua.password_env: the environment variable {section.password_env} is not set")
    return found
