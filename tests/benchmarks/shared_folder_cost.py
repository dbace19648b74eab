"""What a file costs on a PostgreSQL server, and what it costs more where several agents share its folder.

Run by hand: `python -m tests.benchmarks.shared_folder_cost [FILES]`. A server of its own on loopback that waits for no
disk; one connection enters, opens, records and finishes one file after the other, and a second agent asks for files
that the first one has.
"""

from __future__ import annotations

import sys
import time

from agent.sources.ledger import FileLedger
from agent.store.access import open_writer
from agent.store.claims import Claims
from agent.store.engine import Database
from agent.store.ledger import Ledger
from agent.store.shared_ledger import SharedLedger
from agent.store.writer import Writer
from tests.factories.agent import a_draft, an_inspection
from tests.factories.postgres import running_postgres

ROOT = "/share/in"


def judge(database: Database, ledger: FileLedger, run: str, count: int) -> float:
    """Milliseconds a file, each with one message."""
    writer = Writer(database)
    writer.start_run(run, lambda step: None)
    begun = time.perf_counter()
    for seq in range(count):
        path = f"{ROOT}/{run}-{seq}.png"
        ledger.find("inbox", path, 10, seq)
        file_id = ledger.add_claimed("inbox", path, 10, seq)
        assert file_id is not None
        ledger.opened(file_id, "aa")
        writer.record(an_inspection(run=run, seq=seq, line="inbox", path=path, file_id=file_id), (), [a_draft("inbox")])
        writer.finish_disposition(file_id)
    return 1000 * (time.perf_counter() - begun) / count


def refused(ledger: SharedLedger, run: str, count: int) -> float:
    """Milliseconds for a file that another agent has."""
    begun = time.perf_counter()
    for seq in range(count):
        assert ledger.add_claimed("inbox", f"{ROOT}/{run}-{seq}.png", 10, seq) is None
    return 1000 * (time.perf_counter() - begun) / count


def main(count: int) -> None:
    with running_postgres() as server:
        url = server.new_database()
        alone, left, right = (open_writer(url, name) for name in ("alone", "left", "right"))
        shared = [SharedLedger(Ledger(one), Claims(one, "run-left"), ROOT) for one in (left, right)]
        plain_ms = judge(alone, Ledger(alone), "run-alone", count)
        shared_ms = judge(left, shared[0], "run-left", count)
        print(f"{count} files: {plain_ms:.1f} ms each alone, {shared_ms:.1f} ms shared")  # noqa: T201
        print(f"{refused(shared[1], 'run-left', count):.2f} ms for a file that another agent has")  # noqa: T201
        for one in (alone, left, right):
            one.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
