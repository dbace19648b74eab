"""The PostgreSQL server of two agents is killed, or cuts their connections, while both judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.factories.postgres import PostgresServer, name_of, running_postgres
from tests.faults.invariants import check, check_counters
from tests.faults.site import Site, a_site


def killed(folder: Path, rounds: int, files: int) -> str:
    """SIGKILL of the server under load, which stays away until health names it, and comes back on its own data."""

    def break_it(server: PostgresServer, sites: tuple[Site, Site]) -> int:
        server.kill()
        for site in sites:
            site.drop(files)
        for site in sites:
            site.until(lambda site=site: "server is away" in site.problems(), "the lost server to be named", 30)
        server.start()
        return 1

    return _two_agents(folder, rounds, files, break_it, "kills of the server")


def cut(folder: Path, rounds: int, files: int) -> str:
    """Every connection of both agents ends at once, time and again while files are being judged."""

    def break_it(server: PostgresServer, sites: tuple[Site, Site]) -> int:
        ended = 0
        while any(site.waiting() for site in sites) and ended < 40:
            ended += server.cut(name_of(str(sites[0].server)))
            assert sites[0].process is not None
            sites[0].process.join(sites[0].random.uniform(0.05, 0.4))
        return ended

    return _two_agents(folder, rounds, files, break_it, "connections cut")


def _two_agents(
    folder: Path, rounds: int, files: int, break_it: Callable[[PostgresServer, tuple[Site, Site]], int], what: str
) -> str:
    with running_postgres() as server, _sites(folder, server.new_database()) as sites:
        for site in sites:
            site.start()
        broken = 0
        for _ in range(rounds):
            known = [site.judged() for site in sites]
            for site in sites:
                site.drop(files)
            sites[0].until(lambda known=known: sites[0].judged() > known[0], "files to be judged")
            broken += break_it(server, sites)
            for site in sites:
                site.settle(120)
                site.until(lambda site=site: site.problems() == "", "health to be well again", 30)
        for site in sites:
            check_counters(site, at_rest=True)
            assert site.stop() == 0
        return f"{broken} {what}; " + "; ".join(f"{site.name}: {check(site)}" for site in sites)


@contextmanager
def _sites(folder: Path, url: str) -> Iterator[tuple[Site, Site]]:
    with (
        a_site(folder / "left", name="left", server=url) as left,
        a_site(folder / "right", name="right", server=url) as right,
    ):
        yield left, right
