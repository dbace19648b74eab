"""A message made to fit what the broker takes: with fewer regions, and it says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.mqtt.payloads import encode


def packet_size(topic: str, payload: bytes) -> int:
    """Bytes of the MQTT 5 packet that publishes it at QoS 1."""
    # Length and text of the topic, packet identifier, no properties.
    rest = 2 + len(topic.encode()) + 2 + 1 + len(payload)
    digits = next(count for count in (1, 2, 3, 4) if rest < 128**count or count == 4)
    return 1 + digits + rest


def fitted(topic: str, body: Mapping[str, Any], most: int | None) -> bytes:
    """The payload of `body` in a packet of at most `most` bytes, if need be without the least of its regions.

    `regions_omitted` says how many are missing. What does not fit even without regions is returned without them.
    """
    whole = encode(body)
    regions = body.get("regions")
    if most is None or packet_size(topic, whole) <= most or not regions:
        return whole
    low, high = 0, len(regions) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if packet_size(topic, _with_regions(body, middle)) <= most:
            low = middle
        else:
            high = middle - 1
    return _with_regions(body, low)


def _with_regions(body: Mapping[str, Any], count: int) -> bytes:
    regions = body["regions"]
    order = sorted(range(len(regions)), key=lambda index: regions[index]["margin_max"], reverse=True)
    kept = [regions[index] for index in sorted(order[:count])]
    return encode({**body, "regions": kept, "regions_omitted": len(regions) - count})
