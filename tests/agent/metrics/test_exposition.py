"""What a scrape says, by Prometheus's own parser; and that the dashboard asks for nothing else."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from agent.drift.advice import DriftFinding, DriftReport
from agent.health import Backlog, HealthSnapshot
from agent.line_states import LineHealth, LineState
from agent.metrics.exposition import Identity, metrics_text
from agent.metrics.inspection_counts import BUCKETS_S, InspectionCounts
from agent.records import Latency, LineCounters, LineMode, TriggerCounts
from agent.web.access import Access, Role
from agent.web.app import create_app
from fbclip.decision import Verdict, reject
from tests.factories.agent import a_judged, an_inspection
from tests.factories.page import example_page

DASHBOARD = Path(__file__).parents[3] / "deploy/grafana/inspection.json"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = "a token of sixteen"


@pytest.fixture
def counts():
    return InspectionCounts()


@pytest.fixture
def read(counts):
    """One line that has changed, with triggers, and a broker that does not answer."""
    finding = DriftFinding("light_low", "darker", NOW, NOW, 80, 60, 0.28, 92.0, 0)
    line = LineHealth(
        "belt", LineMode.LIVE, "playing", None, LineCounters(20, 9, 1, {"replaced": 7, "/in/Mustermann.png": 2}),
        LineState.RUNNING, True, None, TriggerCounts(5, 3, 1, 1), DriftReport(None, 500, 0.01, (finding,)),
    )  # fmt: skip
    snapshot = HealthSnapshot((line,), broker_problem="down", backlog=Backlog(12, 75.0))
    return metrics_text(Identity("demo", "1.0", "embedded"), lambda: snapshot, counts)


def samples(text):
    families = text_string_to_metric_families(text.decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_the_state_in_numbers(read, counts):
    counts.recorded(a_judged(an_inspection(latency=Latency(1, 2, 30))))
    counts.recorded(a_judged(an_inspection(Verdict.ANOMALY, latency=Latency(1, 2, 20_000))))
    counts.recorded(a_judged(an_inspection(Verdict.REJECTED, line="gone")))
    found = samples(read())
    line = ("line", "belt")
    assert found["fbclip_healthy", ()] == found["fbclip_broker_up", ()] == 0
    assert (found["fbclip_outbox_messages", ()], found["fbclip_outbox_oldest_seconds", ()]) == (12, 75)
    assert found["fbclip_line_state", (line, ("state", "running"))] == 1
    assert found["fbclip_line_state", (line, ("state", "failing"))] == 0
    assert found["fbclip_frames_grabbed_total", (line,)] == 20
    assert found["fbclip_frames_in_flight", (line,)] == 1
    assert found["fbclip_triggers_total", (line, ("outcome", "busy"))] == 1
    assert found["fbclip_drift_recalibrate", (line,)] == 1
    assert found["fbclip_drift_rate_ratio", (line, ("statistic", "light_low"))] == 0.75
    assert found["fbclip_inspections_total", (line, ("reason", "none"), ("verdict", "anomaly"))] == 1
    assert found["fbclip_inspection_seconds_count", (line,)] == 2
    assert found["fbclip_inspection_seconds_bucket", (("le", "0.025"), line)] == 0
    assert found["fbclip_inspection_seconds_bucket", (("le", "0.05"), line)] == 1
    assert found["fbclip_inspection_seconds_bucket", (("le", str(BUCKETS_S[-1])), line)] == 1
    assert found["fbclip_inspection_seconds_bucket", (("le", "+Inf"), line)] == 2
    assert found["fbclip_last_z", (line,)] == 1.5
    assert found["process_resident_memory_bytes", ()] > 1e6
    assert not any(("line", "gone") in labels for _, labels in found)


def test_labels_do_not_grow_with_what_comes_from_outside(read, counts):
    for number in range(200):
        rejected = an_inspection(decision=reject(f"/in/Mustermann-{number}.dcm"))
        counts.recorded(a_judged(rejected))
    text = read()
    assert b"Mustermann" not in text
    belt, other = ("line", "belt"), ("reason", "other")
    assert samples(text)["fbclip_inspections_total", (belt, other, ("verdict", "rejected"))] == 200
    assert samples(text)["fbclip_frames_dropped_total", (belt, other)] == 2


def test_the_route_is_guarded_like_the_page(read):
    page = example_page()
    off = TestClient(create_app(page), base_url="http://127.0.0.1:8088")
    assert off.get("/metrics").status_code == 404
    app = create_app(replace(page, metrics=read), loopback=False, access=Access({Role.VIEW: TOKEN}))
    client = TestClient(app, base_url="http://agent.example")
    assert client.get("/metrics").status_code == 401
    answer = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/plain")
    assert b"fbclip_healthy 0.0" in answer.content
    assert TOKEN.encode() not in answer.content


def test_the_dashboard_asks_for_what_there_is(read, counts):
    counts.recorded(a_judged(an_inspection()))
    found = samples(read())
    labels = {name: {key for key, _ in pairs} for name, pairs in found}
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [one["query"] for one in dashboard["templating"]["list"] if one["type"] == "query"]
    for expression in asked:
        names = re.findall(r"\b(?:fbclip|process)_\w+", expression)
        assert names, expression
        for name in names:
            assert name in labels, f"{name} in {expression}"
        for name, selector in re.findall(r"((?:fbclip|process)_\w+)\{([^}]*)\}", expression):
            wanted = set(re.findall(r"(\w+)(?:=~|!=|=)", selector)) - {"job"}
            assert wanted <= labels[name], f"{selector} of {name}"
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
