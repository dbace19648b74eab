"""`agent feedback` over a real socket, into a real store."""

import json

import pytest

from agent.commands.feedback import feedback_command
from agent.commands.options import FeedbackRequest
from agent.web.app import create_app
from agent.web.server import WebServer
from fbclip.errors import ConfigError
from tests.factories.page import build_page
from tests.factories.steering import write_config


@pytest.fixture
def page(tmp_path):
    made = build_page()
    server = WebServer(create_app(made.sources), "127.0.0.1", 0)
    server.start()
    write_config(tmp_path, {"name": "belt", "mode": "learning"}, web={"listen": f"127.0.0.1:{server.port}"})
    yield made
    server.stop()
    made.database.close()


def test_it_is_stored_with_note_and_name(page, tmp_path, capsys):
    request = FeedbackRequest(1, "ok", note="only dust", by="ann", config=tmp_path / "agent.yaml", as_json=True)
    assert feedback_command(request) == 0
    assert json.loads(capsys.readouterr().out)["ok"]
    (said,) = page.sources.views.feedback_on(1)
    assert (said.label, said.note, said.by, said.origin) == ("normal", "only dust", "ann", "ctl")
    assert feedback_command(FeedbackRequest(1, "anomaly", config=tmp_path / "agent.yaml")) == 0
    assert page.sources.views.feedback([1])[1].label == "anomalous"


@pytest.mark.parametrize(
    ("changes", "says"), [({"label": "good"}, "must be ok or anomaly"), ({"note": "x" * 2000}, "note")]
)
def test_a_slip_is_said_before_anything_is_sent(page, tmp_path, changes, says):
    values = {"inspection": 1, "label": "ok"} | changes
    with pytest.raises(ConfigError, match=says):
        feedback_command(FeedbackRequest(**values, config=tmp_path / "agent.yaml"))
    assert page.sources.views.feedback_on(1) == ()
