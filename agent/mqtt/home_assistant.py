"""Home Assistant finds the agent by itself: one device, with sensors and binary sensors a line.

Each entity has a retained topic `homeassistant/COMPONENT/NODE/ENTITY/config`; an empty message takes it away. Which
topics were announced is noted in the data directory, so that what goes while the agent is off is taken away, too.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from agent.mqtt.payloads import Topics, encode
from fbclip.files import write_atomically

log = logging.getLogger(__name__)
PREFIX = "homeassistant"
NOTED = "home_assistant.json"
_OWN = re.compile(rf"{PREFIX}/(sensor|binary_sensor|image)/[A-Za-z0-9_-]{{1,200}}/[A-Za-z0-9_-]{{1,200}}/config")
_VERDICTS = ["ok", "uncertain", "anomaly", "rejected"]


@dataclass(frozen=True)
class HomeLine:
    """A line as Home Assistant hears of it. Only a live one tells its verdicts, and a private one sends no image."""

    name: str
    live: bool
    private: bool


class RetainedTopics(Protocol):
    """The part of the sender that is needed."""

    def retain_bytes(self, topic: str, payload: bytes) -> None: ...


class HomeAssistant:
    """Announces what there is, and takes away what is not; one thread owns it."""

    def __init__(self, topics: Topics, version: str, sender: RetainedTopics, data_dir: Path, enabled: bool) -> None:
        self._topics = topics
        self._version = version
        self._sender = sender
        self._file = data_dir / NOTED
        self._enabled = enabled
        self._noted = _read(self._file, topics.root)
        self._said: Mapping[str, bytes] = {}

    def show(self, lines: Sequence[HomeLine]) -> None:
        """These lines and no others."""
        found = discovery(self._topics, lines, self._version) if self._enabled else {}
        said = {topic: encode(body) for topic, body in found.items()}
        images = {image_topic(self._topics, line.name) for line in lines if line.live and not line.private}
        if said == self._said and self._noted == said.keys() | (images if self._enabled else set()):
            return
        wanted = said.keys() | (images if self._enabled else set())
        # Noted before it is said: what nobody remembers would stay for ever.
        self._note(self._noted | wanted)
        for topic in sorted(self._noted - wanted):
            self._sender.retain_bytes(topic, b"")
        for topic, payload in said.items():
            self._sender.retain_bytes(topic, payload)
        self._said, self._noted = said, wanted
        self._note(wanted)

    def _note(self, topics: set[str]) -> None:
        if not topics and not self._file.exists():
            return
        try:
            write_atomically(self._file, json.dumps(sorted(topics)).encode(), mode=0o600)
        except OSError as error:
            log.warning("%s cannot be written: %s", NOTED, error.strerror)


def image_topic(topics: Topics, line: str) -> str:
    """Where the image of a line's last anomaly is."""
    return f"{topics.root}/{line}/image"


def discovery(topics: Topics, lines: Sequence[HomeLine], version: str) -> dict[str, dict[str, Any]]:
    """Topic -> configuration of every entity."""
    node = re.sub("[^A-Za-z0-9_-]", "-", topics.root)
    shared = {
        "availability_topic": topics.status,
        "availability_template": "{{ value_json.state }}",
        "payload_available": "online",
        "payload_not_available": "offline",
        "device": {
            "identifiers": [f"fbclip-{node}"],
            "name": topics.agent,
            "manufacturer": "fbclip-inspect",
            "model": "inspection agent",
            "sw_version": version,
        },
        "origin": {"name": "fbclip-inspect", "sw_version": version},
    }
    found = {}
    entities = [("agent-health", "binary_sensor", _problem("Health", topics.health, "not value_json.healthy"))]
    for line in lines:
        entities += [(f"{line.name}-{name}", kind, body) for name, kind, body in _entities(topics, line)]
    for name, kind, body in entities:
        topic = f"{PREFIX}/{kind}/{node}/{name}/config"
        found[topic] = {**body, "unique_id": f"fbclip-{node}-{name}", **shared}
    return found


def _entities(topics: Topics, line: HomeLine) -> list[tuple[str, str, dict[str, Any]]]:
    name, status, state = line.name, topics.line_status(line.name), topics.line_state(line.name)
    found = [
        (
            "source",
            "binary_sensor",
            _problem(f"{name} source", status, "value_json.state in ('failing', 'unavailable')"),
        ),
        # null until the line was looked at
        (
            "drift",
            "binary_sensor",
            _problem(f"{name} recalibrate", status, "value_json.drift and value_json.drift.recalibrate"),
        ),
    ]
    if not line.live:
        return found
    found += [
        ("anomaly", "binary_sensor", _problem(f"{name} anomaly", state, "value_json.verdict == 'anomaly'")),
        ("no-verdict", "binary_sensor", _problem(f"{name} no verdict", state, "value_json.verdict == 'rejected'")),
        ("verdict", "sensor", {
            "name": f"{name} verdict", "state_topic": state, "value_template": "{{ value_json.verdict }}",
            "device_class": "enum", "options": _VERDICTS,
        }),
        ("z", "sensor", {
            "name": f"{name} statistic", "state_topic": state, "value_template": "{{ value_json.z }}",
            "state_class": "measurement",
        }),
    ]  # fmt: skip
    if not line.private:
        picture = {"image_topic": image_topic(topics, name), "content_type": "image/jpeg"}
        found.append(("image", "image", {"name": f"{name} last anomaly", **picture}))
    return found


def _problem(name: str, topic: str, condition: str) -> dict[str, Any]:
    return {
        "name": name,
        "state_topic": topic,
        "value_template": f"{{{{ 'ON' if {condition} else 'OFF' }}}}",
        "device_class": "problem",
    }


def _read(path: Path, root: str) -> set[str]:
    """The topics that were announced; what is not one of ours is left alone."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    texts = {topic for topic in found if isinstance(topic, str)} if isinstance(found, list) else set()
    return {
        topic
        for topic in texts
        if _OWN.fullmatch(topic) or re.fullmatch(rf"{re.escape(root)}/[a-z0-9_-]+/image", topic)
    }
