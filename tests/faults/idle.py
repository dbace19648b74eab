"""Hundreds of connections that say nothing, to the page and to the embedded broker: alerts and page go on."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

from tests.factories.brokers import free_port
from tests.faults.broker import Ear
from tests.faults.invariants import check
from tests.faults.processes import usage
from tests.faults.site import a_site


def connections(folder: Path, count: int) -> str:
    """So many to each of the two, while files are judged."""
    port = free_port()
    with a_site(folder) as site, ExitStack() as opened:
        site.document["mqtt"]["url"] = f"embedded://127.0.0.1:{port}"
        site.write_config()
        site.start()
        site.ear.close()
        site.ear = Ear(port)
        before = usage(site.pid).descriptors
        for target in (site.web_port, port):
            for _ in range(count):
                opened.enter_context(socket.create_connection(("127.0.0.1", target), timeout=10))
        site.drop(20)
        site.until(lambda: site.waiting() == 0, "files to be judged")
        assert site.ready()
        most = usage(site.pid).descriptors
        site.settle()
        opened.close()
        site.until(lambda: usage(site.pid).descriptors <= before + 20, "the descriptors to be given back", 90)
        after = usage(site.pid).descriptors
        assert site.stop() == 0
        found = f"descriptors {before}, {most}, {after} (before, meanwhile, after)"
        return f"{2 * count} idle connections, {found}, {check(site)}"
