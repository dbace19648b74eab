"""A taken port is answered with the way out."""

import errno
import socket

import pytest

from agent.errors import MqttError
from agent.mqtt.broker import EmbeddedBroker
from agent.ports import check_free, why_no_page


def test_a_taken_port_of_the_broker_names_the_broker_that_may_be_there():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MqttError) as caught:
            EmbeddedBroker("127.0.0.1", port).start()
    assert f"127.0.0.1:{port} is taken" in str(caught.value)
    assert f"url: mqtt://127.0.0.1:{port}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_free_port_is_free_afterwards_too():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            check_free("127.0.0.1", port)
    check_free("127.0.0.1", port)
    check_free("127.0.0.1", port)


def test_another_fault_is_named_as_it_is():
    denied = OSError(errno.EACCES, "Permission denied")
    assert why_no_page("127.0.0.1", 80, denied) == "web.listen: 127.0.0.1:80 cannot be listened on: Permission denied"
