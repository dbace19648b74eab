"""What must hold after every fault, asked of the files, the database and the listener. Raises AssertionError."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from dataclasses import dataclass, fields
from typing import Any

from tests.factories.brokers import wait_until
from tests.faults.site import Site

# Of a line: sink, batch and results that may be between grab and record.
MOST_IN_FLIGHT = 64


@dataclass(frozen=True)
class Counts:
    """What a fault left behind. `heard`: messages by their own number, `repeated`: heard more than once."""

    files: int
    inspections: int
    rejected: int
    alerts: int
    heard: int
    repeated: int
    gaps: int
    starts: int

    def __str__(self) -> str:
        return ", ".join(f"{getattr(self, field.name)} {field.name}" for field in fields(self))


def check(site: Site) -> Counts:
    """After `Site.settle` and the end of the agent. Every file was accepted, every message acknowledged."""
    check_database(site)
    check_files(site)
    heard = check_messages(site)
    return Counts(
        files=len(site.accepted),
        inspections=site.number("SELECT count(*) FROM inspections"),
        rejected=site.number("SELECT count(*) FROM inspections WHERE verdict = 'rejected'"),
        alerts=site.number("SELECT count(*) FROM events"),
        heard=len(heard),
        repeated=len(site.ear.heard) - len(heard),
        gaps=0,
        starts=site.starts,
    )


def check_database(site: Site) -> None:
    """Sound, and so is the copy of the unsent messages; a server looks after its own."""
    if site.server is not None:
        return
    for path in (site.store, site.data / "unsent-of-agent.db"):
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        found = connection.execute("PRAGMA quick_check").fetchall()
        connection.close()
        assert found == [("ok",)], f"{path.name}: {found[:3]}"


def check_files(site: Site) -> None:
    """Each file has one row, and lies in `done` or `failed`, whole."""
    rows = Counter(digest for (digest,) in site.rows("SELECT sha256 FROM inspections WHERE line = 'files' ORDER BY id"))
    wanted = Counter(site.accepted.values())
    missing, more = wanted - rows, rows - wanted
    assert not missing, f"{len(missing)} files have no row"
    assert not more, f"{sum(more.values())} rows too many"
    assert site.number("SELECT count(*) FROM files WHERE state NOT IN ('done', 'failed')") == 0
    moved = Counter(
        path.name
        for folder in ("inbox.done", "inbox.failed")
        if (site.folder / folder).is_dir()
        for path in (site.folder / folder).iterdir()
        if not path.name.endswith(".reason.json")
    )
    assert moved == Counter(list(site.accepted)), f"moved {sum(moved.values())} of {len(site.accepted)} files"


def check_messages(site: Site) -> dict[str, dict[str, Any]]:
    """Every row of the outbox was heard; each event begins and ends once; numbers have no gap. Returns what was heard,
    by message_id."""
    wait_until(lambda: _all_heard(site), 30)
    heard: dict[str, dict[str, Any]] = {}
    numbers: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for body in list(site.ear.heard):
        first = heard.setdefault(body["message_id"], body)
        assert without_stamps(first) == without_stamps(body), "a message was repeated with another content"
        known = numbers[body["stream_id"], body["line"]].setdefault(body["message_seq"], body["message_id"])
        assert known == body["message_id"], f"two messages of line {body['line']} are number {body['message_seq']}"
    for (_, line), ids in numbers.items():
        gaps = max(ids) - len(ids)
        assert gaps == 0, f"line {line}: {gaps} numbers are missing of {max(ids)}"
    for line, last in site.rows("SELECT line, last FROM sequences"):
        assert any(name == line and max(ids) == last for (_, name), ids in numbers.items()), f"the last {line} is lost"
    check_events(site, heard)
    return heard


def _all_heard(site: Site) -> bool:
    """The broker hands on what it acknowledged; nothing waits in the outbox any more."""
    heard = {body["message_id"] for body in list(site.ear.heard)}
    return all(row[0] in heard for row in site.rows("SELECT message_id FROM outbox"))


def check_events(site: Site, heard: dict[str, dict[str, Any]]) -> None:
    """One `new` and one `end` each, de-duplicated."""
    steps: dict[str, Counter[str]] = defaultdict(Counter)
    for body in heard.values():
        if body["topic"].endswith("/event"):
            steps[body["event_id"]][body["type"]] += 1
    for event_id, ended in site.rows("SELECT event_id, ended IS NOT NULL FROM events"):
        found = steps[event_id]
        assert found["new"] == 1, f"an alert was heard {found['new']} times under different message_ids"
        assert found["end"] == ended, f"an alert's end was heard {found['end']} times"


def without_stamps(body: dict[str, Any]) -> dict[str, Any]:
    """A message without what says when it was published."""
    return {key: value for key, value in body.items() if key not in {"ts_publish", "historical", "at", "topic"}}


def check_counters(site: Site, at_rest: bool = False) -> None:
    """Of the running agent: every frame is accounted for. `at_rest`: when nothing more comes, the judged ones are the
    rows of the database."""
    site.until(lambda: not at_rest or _all_counted(site), "the counters to be those of the database", 10)
    for line in site.state()["lines"]:
        done = line["inspected"] + line["rejected"]
        assert line["grabbed"] == done + line["dropped"] + line["in_flight"]
        assert 0 <= line["in_flight"] <= MOST_IN_FLIGHT, f"{line['name']}: {line['in_flight']} in flight"
        # The page hears of them once a second, the database at once.
        rows = _rows_of_run(site).get(line["name"], 0)
        assert done <= rows, f"{line['name']}: {done} judged, {rows} rows"


def _all_counted(site: Site) -> bool:
    rows = _rows_of_run(site)
    lines = {line["name"]: line for line in site.state()["lines"] if line["name"] == "files"}
    return all(
        (line["inspected"] + line["rejected"], line["in_flight"]) == (rows.get(name, 0), 0)
        for name, line in lines.items()
    )


def _rows_of_run(site: Site) -> dict[str, int]:
    latest = "(SELECT run FROM runs ORDER BY id DESC LIMIT 1)"
    query = f"SELECT line, count(*) FROM inspections WHERE run = {latest} GROUP BY line"
    return {line: int(count) for line, count in site.rows(query)}
