"""`agent check` says of the broker what the running agent would say."""

from contextlib import closing

import pytest

from agent.commands import check
from agent.config.sections import Config
from agent.errors import MqttError
from tests.factories.scripted_broker import ScriptedBroker


def test_a_refusal_is_named_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(check, "BROKER_WAIT_S", 0.5)
    with closing(ScriptedBroker(greeting=lambda _: 0x86)) as broker:
        line = {"name": "belt", "source": {"type": "folder", "path": str(tmp_path)}, "mode": "learning"}
        document = {
            "agent": {"name": "demo", "data_dir": str(tmp_path)},
            "mqtt": {"url": f"mqtt://127.0.0.1:{broker.port}"},
            "lines": [line],
        }
        with pytest.raises(MqttError, match="refused: Bad user name or password: the credentials are wrong; see mqtt"):
            check._broker(Config.model_validate(document), running=False)
