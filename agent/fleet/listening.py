"""Asks a broker once for the retained topics of all agents below a prefix."""

from __future__ import annotations

import json
import queue
import secrets
import time
from collections.abc import Mapping
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from agent.config.services import MqttSection
from agent.errors import MqttError
from agent.mqtt.target import Target, target

# A broker sends what it retains at once: so long a silence is the end of it.
QUIET_S = 0.7
CONNECT_S = 8.0
MOST_TOPICS = 100_000
MAX_PAYLOAD = 1 << 20

_Heard = queue.SimpleQueue[tuple[str, bytes] | MqttError]


def retained_topics(config: MqttSection, most_s: float) -> dict[str, Mapping[str, Any]]:
    """Topic -> body of every agent; what is no JSON object is an empty one. Raises MqttError."""
    account = target(config, f"fleet-{secrets.token_hex(6)}", "", b"")
    heard: _Heard = queue.SimpleQueue()
    client = _client(account, config.prefix, heard)
    try:
        client.connect(account.host, account.port)
    except OSError as error:
        raise MqttError(f"{account.where}: cannot be reached: {error.strerror or error}") from error
    client.loop_start()
    try:
        return _collected(heard, account, most_s)
    finally:
        client.disconnect()
        client.loop_stop()


def _client(account: Target, prefix: str, heard: _Heard) -> paho.Client:
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=account.client_id, protocol=MQTTProtocolVersion.MQTTv311
    )
    client.connect_timeout = CONNECT_S
    if account.username is not None:
        client.username_pw_set(account.username, account.password)
    if account.tls is not None:
        client.tls_set_context(account.tls)
    filters = [(f"{prefix}/{topic}", 1) for topic in ("+/status", "+/info", "+/health", "+/+/status")]

    def connected(client: paho.Client, _u: object, _f: object, code: ReasonCode, _p: object) -> None:
        if code.is_failure:
            heard.put(MqttError(f"{account.where}: the broker refuses the connection: {code}"))
        elif client.subscribe(filters)[0] is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            heard.put(MqttError(f"{account.where}: cannot subscribe"))

    def subscribed(_c: object, _u: object, _m: object, codes: list[ReasonCode], _p: object) -> None:
        if any(code.is_failure for code in codes):
            heard.put(
                MqttError(f"{account.where}: this account may not read {prefix}/#; check the broker's access list")
            )

    client.on_connect = connected
    client.on_subscribe = subscribed
    client.on_message = lambda _c, _u, message: heard.put((message.topic, bytes(message.payload)))
    return client


def _collected(heard: _Heard, account: Target, most_s: float) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    end = time.monotonic() + most_s
    while len(found) < MOST_TOPICS and (left := end - time.monotonic()) > 0:
        try:
            # Until the first one comes: all the time there is.
            got = heard.get(timeout=min(left, QUIET_S) if found else left)
        except queue.Empty:
            break
        if isinstance(got, MqttError):
            raise got
        topic, payload = got
        # An empty payload takes a retained topic away.
        if payload:
            found[topic] = _object(payload)
        else:
            found.pop(topic, None)
    if not found:
        raise MqttError(f"{account.where}: no agent has said anything within {most_s:g} s; check mqtt.prefix")
    return found


def _object(payload: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(payload) if len(payload) <= MAX_PAYLOAD else None
    except (ValueError, RecursionError):
        body = None
    return body if isinstance(body, dict) else {}
