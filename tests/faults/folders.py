"""The hot folder goes, comes back, cannot be emptied, or is not mounted when the agent starts: always told, nothing
lost."""

from __future__ import annotations

import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.invariants import check, check_counters
from tests.faults.site import Site, a_site

FILES = 3


def gone(folder: Path, rounds: int) -> str:
    """Deleted and made anew while the agent runs; at the end of each round its files are judged."""
    with a_site(folder) as site:
        site.start()
        for _ in range(rounds):
            site.drop(FILES)
            site.settle()
            shutil.rmtree(site.inbox)
            check_told(site, "folder cannot be read: No such file or directory")
            site.inbox.mkdir()
            site.until(lambda: state_of(site) == "running", "the line to run again")
        return finished(site)


def unmounted(folder: Path, rounds: int) -> str:
    """On a file system of its own: read-only for a while, and not mounted when the agent starts."""
    with a_site(folder) as site, share(site.inbox):
        for _ in range(rounds):
            site.start()
            site.drop(FILES)
            site.settle()
            mount("-o", "remount,ro", site.inbox)
            check_told(site, "judged files cannot leave the folder: Read-only file system")
            mount("-o", "remount,rw", site.inbox)
            site.until(lambda: state_of(site) == "running", "the line to run again")
            assert site.stop() == 0
            subprocess.run(["umount", str(site.inbox)], check=True)
            site.start()
            check_told(site, "held the folder in an earlier run (tmpfs) is not mounted")
            mount("-t", "tmpfs", "tmpfs", site.inbox)
            site.until(lambda: state_of(site) == "running", "the line to run again")
            site.drop(FILES)
            site.settle()
            assert site.stop() == 0
        site.start()
        return finished(site)


def check_told(site: Site, words: str) -> None:
    """By page, health, metrics and the retained status."""
    site.until(lambda: words in site.problems(), f"{words!r} to be told")
    site.until(lambda: state_of(site) == "unavailable", "the line to be unavailable")
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{site.web_port}/healthz", timeout=20).close()
        raise AssertionError("healthz is 200 while the folder is not there")
    except urllib.error.HTTPError as error:
        assert error.code == 503, error.code


def state_of(site: Site) -> str:
    return str(next(line["state"] for line in site.state()["lines"] if line["name"] == "files"))


def finished(site: Site) -> str:
    site.drop(FILES)
    site.settle()
    check_counters(site, at_rest=True)
    assert site.stop() == 0
    return str(check(site))


@contextmanager
def share(point: Path) -> Iterator[None]:
    mount("-t", "tmpfs", "tmpfs", point)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(point)], check=False, capture_output=True)


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)
