"""Faults inside an agent's process: it is killed, hangs or dies at a named place, or its wall clock is shifted.

The product knows nothing of this: the places are its own functions, wrapped before the run begins.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import agent.mqtt.sender
import agent.patience
import agent.pipeline.recorder
import agent.pipeline.workers
import agent.sources.running
import agent.steering.steward
import agent.store.claims
import agent.store.writer
import agent.web.server
from agent.mqtt.client import PahoClient
from agent.mqtt.pump import Pump
from agent.pipeline.evidence import EvidenceWriter
from agent.pipeline.judge import Judge
from agent.pipeline.recorder import Recorder
from agent.sources.folder import Folder
from agent.steering.steward import Steward
from agent.store.ledger import Ledger
from agent.store.outbox import Outbox
from agent.store.writer import Writer


@dataclass(frozen=True)
class Place:
    """A function of the product; what is injected comes before or after its work."""

    owner: Any
    name: str
    after: bool


FAILPOINTS: Mapping[str, Place] = {
    "file entered, not opened": Place(Ledger, "add_claimed", after=True),
    "image written, not named": Place(EvidenceWriter, "save", after=True),
    "rows written, not committed": Place(agent.store.writer, "put", after=True),
    "committed, not moved": Place(agent.pipeline.recorder, "move_files", after=False),
    "moved, not noted": Place(Writer, "finish_disposition", after=False),
    "committed, not published": Place(PahoClient, "publish", after=False),
    "published, no PUBACK": Place(PahoClient, "publish", after=True),
    "PUBACK, not marked": Place(Outbox, "mark_sent", after=False),
    "marked": Place(Outbox, "mark_sent", after=True),
}
"""Where a run is killed: between each two steps that could come apart."""

PARTS: Mapping[str, Place] = {
    "source": Place(Folder, "look", after=False),
    "detector": Place(Judge, "judge", after=False),
    "recorder": Place(Recorder, "record", after=False),
    "sender": Place(Pump, "step", after=False),
    "page": Place(agent.web.server._Server, "on_tick", after=False),
    "steward": Place(Steward, "step", after=False),
}
"""One function of each thread."""


@dataclass(frozen=True)
class Fault:
    """What happens in the process. `place`: of FAILPOINTS for `kill`, of PARTS for `hang` and `die`; `turn`: the
    number of its call. `clock`: a file with the seconds by which the wall clock is off. `lease_s`: of claims on files
    of a shared folder."""

    kind: str = ""
    place: str = ""
    turn: int = 1
    clock: Path | None = None
    lease_s: float | None = None
    impatient: bool = False
    embedded: bool = False
    """With the model inside the package instead of the tiny one."""


def inject(fault: Fault) -> None:
    """Once, before the run begins."""
    actions: dict[str, tuple[Mapping[str, Place], Callable[[], None]]] = {
        "kill": (FAILPOINTS, _kill),
        "hang": (PARTS, _hang),
        "die": (PARTS, _die),
    }
    if fault.kind:
        places, act = actions[fault.kind]
        _wrap(places[fault.place], fault.turn, act)
    if fault.clock is not None:
        _shift_clock(fault.clock)
    if fault.impatient:
        _be_impatient()
    if fault.lease_s is not None:
        agent.store.claims.LEASE_S, agent.store.claims.RENEW_S = fault.lease_s, fault.lease_s / 5


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _hang() -> None:
    threading.Event().wait()


def _die() -> None:
    raise RuntimeError("injected: this thread dies here")


def _wrap(place: Place, turn: int, act: Callable[[], None]) -> None:
    whole = getattr(place.owner, place.name)
    turns = itertools.count(1)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        now = next(turns) == turn
        if now and not place.after:
            act()
        result = whole(*arguments, **named)
        if now and place.after:
            act()
        return result

    setattr(place.owner, place.name, wrapped)


def _shift_clock(file: Path) -> None:
    """Whatever asks the agent's modules for the date gets the one that the file says."""

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=float(file.read_text(encoding="ascii")))

    for name, module in list(sys.modules.items()):
        if name.startswith("agent.") and getattr(module, "datetime", None) is datetime:
            module.datetime = Shifted  # type: ignore[attr-defined]


def _be_impatient() -> None:
    """Hangs are noticed after a second and given up after three, where the product waits for up to two minutes."""
    for module in (agent.mqtt.sender, agent.web.server, agent.sources.running):
        module.SLOW_S, module.DEAD_S = 1.0, 3.0  # type: ignore[attr-defined]
    agent.pipeline.workers.SLOW_S, agent.pipeline.workers.PATIENCE_S = 1.0, 3.0
    agent.patience.PATIENCE_S = 3.0
    agent.steering.steward.SLOW_S, agent.steering.steward.DEAD_S = 1.0, 3.0
