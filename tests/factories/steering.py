"""A steward over real lines, a real store and a real agent.yaml."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from agent.config.loader import load_config
from agent.lineup import Lineup
from agent.steering.commands import CommandAnswer
from agent.steering.overrides import load_overrides
from agent.steering.steward import Request, Steward
from agent.store.access import open_writer
from agent.store.audit import AuditLog
from agent.store.engine import Database
from agent.store.ledger import Ledger
from agent.store.writer import Writer
from fbclip.detector import Detector
from tests.factories.lineups import a_lineup


@dataclass
class Steered:
    """`tell` follows one command at once."""

    folder: Path
    steward: Steward
    lineup: Lineup
    database: Database
    writer: Writer
    audit: AuditLog
    hangup: threading.Event
    answers: list[CommandAnswer] = field(default_factory=list)

    def tell(self, verb: str, **body: Any) -> CommandAnswer:
        payload = json.dumps(body).encode() if body else b""
        assert self.steward.submit(Request(verb, payload, "ctl", self.answers.append))
        self.steward.step(0)
        return self.answers[-1]

    def end(self) -> None:
        """Its sources end, and let go of their folders."""
        self.lineup.stop()
        for supervisor in self.lineup.supervisors:
            supervisor.join(5)


def write_config(folder: Path, *lines: dict[str, Any], **sections: Any) -> Path:
    """agent.yaml; a line has a hot folder `in-NAME` and the profile `NAME.yaml` unless it says otherwise."""
    whole = []
    for line in lines:
        (folder / f"in-{line['name']}").mkdir(exist_ok=True)
        source = {"type": "folder", "path": f"in-{line['name']}", "settle_s": 0, "rescan_s": 0.05}
        whole.append({"source": source, "profile": f"{line['name']}.yaml", "mode": "shadow"} | line)
    path = folder / "agent.yaml"
    path.write_text(yaml.safe_dump({"agent": {"name": "demo"}, "lines": whole} | sections))
    return path


@contextmanager
def steered(detector: Detector, path: Path) -> Iterator[Steered]:
    """As the agent that reads `path` starts, without its threads but those of the sources."""
    config = load_config(path)
    overrides = load_overrides(config.agent.data_dir)
    database = open_writer(config.store_url)
    writer, audit, ledger = Writer(database), AuditLog(database), Ledger(database)
    writer.start_run(str(uuid4()), lambda step: None)
    lineup, hangup = a_lineup(detector), threading.Event()
    lineup.set_up(overrides.plans(config.lines), 0.0)
    lineup.start()
    steward = Steward(path, config, overrides, lineup, audit, ledger, hangup)
    made = Steered(path.parent, steward, lineup, database, writer, audit, hangup)
    try:
        yield made
    finally:
        made.end()
        database.close()
