"""The broker is away, accepts connections without ever answering, or does not take what it is sent."""

from __future__ import annotations

from pathlib import Path

from tests.faults.broker import ANYONE
from tests.faults.injections import Fault
from tests.faults.invariants import check, check_counters
from tests.faults.site import Site, a_site

BLOCK = 250


def away(folder: Path, alerts: int) -> str:
    """So many alerts while there is no broker; then all of them are heard."""
    with a_site(folder) as site:
        site.broker.stop()
        site.start()
        while len(site.accepted) < alerts:
            site.drop(min(BLOCK, alerts - len(site.accepted)))
            site.until(lambda: site.waiting() == 0, "files to be judged without a broker", 120)
        waiting = site.number("SELECT count(*) FROM outbox WHERE sent IS NULL")
        assert waiting == 3 * alerts
        assert f"127.0.0.1:{site.broker.port}: connection" in site.problems(), site.problems()
        check_counters(site, at_rest=True)
        site.broker.start()
        site.settle(120 + alerts / 10)
        assert site.stop() == 0
        return f"{waiting} messages waited, {check(site)}"


def black_hole(folder: Path, files: int) -> str:
    """mosquitto is stopped in its tracks before the first connection, and again under load."""
    with a_site(folder) as site:
        site.broker.freeze()
        site.drop(files)
        site.start()
        _judged_all(site)
        assert site.problems(), "a broker that never answers is no problem"
        site.broker.thaw()
        site.settle()
        site.broker.freeze()
        site.drop(files)
        _judged_all(site)
        check_counters(site, at_rest=True)
        # The end comes in time though the broker says nothing; the next run sends what was left.
        assert site.stop() == 0
        site.broker.thaw()
        site.start()
        site.settle(120)
        assert site.stop() == 0
        return f"twice {files} files, stopped meanwhile, {check(site)}"


def refused(folder: Path, files: int) -> str:
    """The broker's access list denies the events (PUBACK with a failure code), and is mended later."""
    rules = folder.with_name(f"{folder.name}.acl")
    rules.write_text("topic readwrite #\ntopic deny fbclip/demo/files/event\n", encoding="utf-8")
    with a_site(folder, broker=(*ANYONE, f"acl_file {rules}")) as site:
        site.start()
        site.drop(files)
        query = "SELECT count(*) FROM outbox WHERE parked IS NOT NULL"
        site.until(lambda: site.number(query) == 2 * files, "the refused messages to be parked", 30 + 4 * files)
        results = "SELECT count(*) FROM outbox WHERE sent IS NOT NULL"
        site.until(lambda: site.number(results) == files, "results to get past them")
        parked = site.number(query)
        site.until(lambda: "Not authorized" in site.problems(), "health to name the refusal")
        rules.write_text("topic readwrite #\n", encoding="utf-8")
        site.broker.stop()
        site.broker.start()
        site.settle(90)
        assert site.stop() == 0
        return f"{parked} messages refused and parked, {check(site)}"


def sudden(folder: Path, rounds: int) -> str:
    """The process dies with messages on their way, the broker being stopped and started around it."""
    with a_site(folder) as site:
        for turn in range(1, rounds + 1):
            site.drop(10)
            # Each run publishes 30 messages at least.
            site.start(Fault("kill", "published, no PUBACK", 3 + 5 * turn % 25), wait=False)
            assert site.ended() == -9
            site.broker.stop()
            site.broker.start()
        site.start()
        site.settle(90)
        assert site.stop() == 0
        return f"{rounds} kills with messages on their way, {check(site)}"


def _judged_all(site: Site) -> None:
    site.until(lambda: site.waiting() == 0, "files to be judged beside a silent broker")
