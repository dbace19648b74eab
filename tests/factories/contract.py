"""Holds what agents say in tests against the published contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agent.mqtt.contract import channel_of, read_message


def keep_to_the_contract(heard: Iterable[tuple[str, Mapping[str, Any]]], prefix: str = "fbclip") -> set[str]:
    """Every message stands on a topic of the contract and has its fields, and no other; returns the channels met.

    Commands that a test has published itself are not the agent's; what stands elsewhere is Home Assistant's.
    """
    met = set()
    for topic, body in heard:
        channel = channel_of(topic, prefix)
        if channel is None:
            if not topic.startswith(f"{prefix}/"):
                continue
            assert "/cmd/" in topic, f"{topic}: not in the contract"
            continue
        read_message(channel, body)
        met.add(channel.name)
    return met
