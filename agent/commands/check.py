"""`agent check`: would this configuration run? Every part is tried, and each problem names its part."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TypeVar
from uuid import uuid4

import typer

from agent.commands.options import CheckRequest
from agent.config.line import LineSection
from agent.config.loader import load_config
from agent.config.sections import Config
from agent.errors import MqttError, StoreError
from agent.mqtt.client import PahoClient
from agent.mqtt.payloads import Topics
from agent.pipeline.detector_loading import equip, load_model
from agent.pipeline.line_loading import load_line
from agent.pipeline.lines import Line
from agent.plc.desk import PlcDesk
from agent.ports import check_free, why_no_broker, why_no_page
from agent.privacy.quiet_log import make_logs_private
from agent.sources.factory import build_source
from agent.sources.folder_lock import FolderLocks
from agent.sources.ledger import OnceLedger
from agent.sources.sinks import BlockingQueue, Tally
from agent.sources.trigger_gates import TriggerGates
from agent.store.access import open_reader, try_store
from agent.store.lock import is_locked
from agent.web.access import page_access
from fbclip.artefacts.seal import Seal
from fbclip.artefacts.sees import sees_summary
from fbclip.detector import Detector
from fbclip.errors import ConfigError, InspectError
from fbclip.picture_health.summary import picture_summary

T = TypeVar("T")
BROKER_WAIT_S = 8.0


@dataclass(frozen=True)
class Check:
    """One part; `problem` is None where there is none. `guarantee`: of a line with a profile, in a few words."""

    part: str
    problem: str | None
    guarantee: str | None = None

    @property
    def text(self) -> str:
        """One line for people."""
        if self.problem is not None:
            return f"FAILED {self.part}: {self.problem}"
        return f"ok     {self.part}" + ("" if self.guarantee is None else f"; guarantee: {self.guarantee}")


def check_command(request: CheckRequest) -> int:
    """Print every part; returns 1 if one fails. Raises ConfigError for a file that cannot be read at all."""
    logging.basicConfig(level=logging.ERROR)
    make_logs_private()
    checks = list(check_all(load_config(request.config)))
    if request.as_json:
        typer.echo(json.dumps([asdict(check) for check in checks]))
    else:
        for check in checks:
            typer.echo(check.text)
    return 1 if any(check.problem for check in checks) else 0


def check_all(config: Config) -> Iterator[Check]:
    """Model, profiles and sources, store, broker, page and what PLCs read, in this order."""
    detector, model = _try("model", lambda: load_model(config.model, config.lines))
    yield model
    for section in config.lines:
        if detector is not None:
            line, check = _try(f"line {section.name}: profile", _profile(detector, section))
            yield check if line is None else replace(check, guarantee=line.guarantee)
            yield from _sight(line)
            yield from _pictures(line)
        yield _try(f"line {section.name}: source", _source(section))[1]
    running = is_locked(config.agent.data_dir)
    yield _try("store", lambda: _store(config, running))[1]
    # The ports of a running agent are taken by itself.
    yield _try("broker", lambda: _broker(config, running))[1]
    yield _try("page", lambda: _page(config, running))[1]
    yield from _plc(config, running)


def _plc(config: Config, running: bool) -> Iterator[Check]:
    """Its extras and addresses; nothing where agent.yaml has no `plc`."""
    desk, built = _try("plc", lambda: PlcDesk(config.plc, config.agent.name, (), TriggerGates()))
    if desk is None:
        yield built
        return
    for server in desk.servers:
        yield Check(server.key, None) if running else _try(server.key, server.check)[1]


def _try(part: str, action: Callable[[], T]) -> tuple[T | None, Check]:
    try:
        return action(), Check(part, None)
    except (InspectError, OSError) as error:
        return None, Check(part, " ".join(str(error).split()))


def _sight(line: Line | None) -> Iterator[Check]:
    """What the profile finds; nothing for one in which that was not measured, or at another threshold."""
    if line is None or line.loaded is None or line.loaded.seal is Seal.EDITED:
        return
    if line.loaded.profile.sees is not None:
        yield Check(f"line {line.name}: {sees_summary(line.loaded.profile.sees)}", None)


def _pictures(line: Line | None) -> Iterator[Check]:
    """What the profile rejects pictures for; nothing for a line that has no such limits."""
    if line is not None and line.loaded is not None and line.loaded.profile.picture is not None:
        yield Check(f"line {line.name}: pictures: {picture_summary(line.loaded.profile.picture)}", None)


def _profile(detector: Detector, section: LineSection) -> Callable[[], Line]:
    return lambda: load_line(equip(detector, section), section)


def _source(section: LineSection) -> Callable[[], None]:
    sink = BlockingQueue(Tally())
    return build_source(section, sink, OnceLedger(), locks=FolderLocks()).check


def _store(config: Config, running: bool) -> None:
    folder = config.agent.data_dir
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    if not os.access(existing, os.W_OK):
        raise StoreError(f"agent.data_dir: {existing} cannot be written")
    if running:
        open_reader(config.store_url, config.agent.name).close()
    else:
        try_store(config.store_url, config.agent.name)


def _broker(config: Config, running: bool) -> None:
    if config.mqtt.embedded:
        if not running:
            _free(config.mqtt.host, config.mqtt.port, why_no_broker)
        return
    topics = Topics(config.mqtt.prefix, config.agent.name)
    client = PahoClient(config.mqtt, f"check-{uuid4().hex[:12]}", f"{topics.root}/check", b"")
    try:
        client.connect()
        until = time.monotonic() + BROKER_WAIT_S
        while not client.connected:
            client.service(idle=True)
            if time.monotonic() > until:
                raise MqttError(client.problem() or "no answer")
            time.sleep(0.05)
    finally:
        client.close()


def _page(config: Config, running: bool) -> None:
    page_access(config.web)
    if not running:
        _free(config.web.host, config.web.port, why_no_page)


def _free(host: str, port: int, why: Callable[[str, int, OSError], str]) -> None:
    try:
        check_free(host, port)
    except OSError as error:
        raise ConfigError(why(host, port, error)) from error
