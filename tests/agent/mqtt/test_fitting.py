"""What fits into a packet of the broker, to the byte."""

import json
from unittest.mock import Mock

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.mqtt.fitting import fitted, packet_size
from agent.mqtt.payloads import encode

MARGINS = [0.5, 9.0, 2.0, 7.0]
BODY = {
    "event_id": "e1",
    "regions": [{"box": [i, i, 9, 9], "area_px": 81, "margin_max": margin} for i, margin in enumerate(MARGINS)],
    "context": None,
}


@pytest.mark.parametrize("length", [0, 1, 115, 116, 117, 16370, 16380, 70000])
def test_the_size_is_that_of_the_packet_which_the_client_writes(length):
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    packets: list[bytes] = []
    # Without a socket it would only queue the message.
    client._sock = Mock()
    client._packet_queue = lambda _command, packet, *_: packets.append(packet)
    client._send_publish(1, "p/ä/event".encode(), b"x" * length, qos=1, retain=False)
    assert packet_size("p/ä/event", b"x" * length) == len(packets[0])


def test_what_fits_is_left_alone():
    size = packet_size("t", encode(BODY))
    assert fitted("t", BODY, None) == fitted("t", BODY, size) == encode(BODY)


def test_the_least_regions_are_left_out_and_counted():
    size = packet_size("t", encode(BODY))
    body = json.loads(fitted("t", BODY, size - 60))
    assert [region["margin_max"] for region in body["regions"]] == [9.0, 7.0]
    assert body["regions_omitted"] == 2 and body["event_id"] == "e1"
    for most in range(1, size + 5):
        payload = fitted("t", BODY, most)
        assert packet_size("t", payload) <= most or json.loads(payload)["regions"] == []


def test_without_regions_nothing_can_be_left_out():
    assert fitted("t", {"regions": []}, 3) == encode({"regions": []})
    assert fitted("t", {"state": "online"}, 3) == encode({"state": "online"})
