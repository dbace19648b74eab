"""The agent is killed: at random moments under load, and between each two steps that could come apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.faults.injections import FAILPOINTS, Fault
from tests.faults.invariants import check
from tests.faults.site import Site, a_site


def kill(folder: Path, rounds: int) -> str:
    """SIGKILL within two seconds of work, `rounds` times, while the broker comes and goes and files keep coming."""
    with a_site(folder, seed=rounds, camera=True) as site:
        for _ in range(rounds):
            site.drop(site.random.randrange(4, 16))
            site.start()
            for _ in range(site.random.randrange(1, 4)):
                _wait(site, site.random.uniform(0, 0.6))
                (site.broker.stop if site.broker.running else site.broker.start)()
                site.drop(2)
            _wait(site, site.random.uniform(0, 0.2))
            site.kill()
        site.broker.start()
        site.start()
        site.settle(900)
        assert site.stop() == 0
        quarantined = site.number("SELECT count(*) FROM files WHERE reason = 'quarantined'")
        counts = check(site)
        return f"{rounds} kills, {site.broker.stops} times without broker, {counts}, {quarantined} quarantined"


def failpoints(folder: Path, turns: Sequence[int]) -> str:
    """A run that dies at each place of FAILPOINTS, at the given turns of it, one after the other."""
    with a_site(folder) as site:
        for turn in turns:
            for place in FAILPOINTS:
                # Two of a file's three messages are heard before the third is needed; 8 files pass every place.
                site.drop(8 + turn)
                site.start(Fault("kill", place, turn), wait=False)
                code = site.ended(60)
                assert code == -9, f"{place}: ended with {code}, not killed:\n{site.tail()}"
        site.start()
        site.settle(120)
        assert site.stop() == 0
        quarantined = site.number("SELECT count(*) FROM files WHERE reason = 'quarantined'")
        kills = len(turns) * len(FAILPOINTS)
        return f"{kills} kills at {len(FAILPOINTS)} places, {check(site)}, {quarantined} quarantined"


def _wait(site: Site, seconds: float) -> None:
    assert site.process is not None
    site.process.join(seconds)
    assert site.alive, site.tail()
