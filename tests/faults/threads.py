"""Each thread of the agent hangs for ever or dies of an error nobody foresaw, in the middle of its work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.faults.injections import PARTS, Fault
from tests.faults.invariants import check
from tests.faults.site import Site, a_site

KINDS = ("hang", "die")
# What is given up after 3 s here takes up to two minutes in the product.
FATAL = frozenset({"detector", "recorder"})


def broken(folder: Path, turns: Sequence[int], parts: Sequence[str] = tuple(PARTS)) -> str:
    """Every part in both ways, at the given turns of its work; what ends the run is started again, as by systemd."""
    told = []
    with a_site(folder) as site:
        for turn in turns:
            for part in parts:
                for kind in KINDS:
                    told.append(f"{part} {kind}: {_break(site, Fault(kind, part, turn, impatient=True))}")
        site.start()
        site.settle()
        assert site.stop() == 0
        return f"{'; '.join(told)}; {check(site)}"


def _break(site: Site, fault: Fault) -> str:
    """What became of the run; all its files are judged and heard when this returns."""
    length = site.log.stat().st_size if site.log.exists() else 0
    site.drop(4)
    site.start(fault, wait=False)
    site.until(lambda: not site.alive or site.waiting() == 0, "the files, or the end", 60, alive=False)
    if fault.place in FATAL or (fault.place, fault.kind) == ("sender", "hang"):
        code = site.ended(30)
        assert code == 1, f"{fault.place} {fault.kind}: ended with {code}\n{site.tail()}"
        site.start()
        site.settle()
        assert site.stop() == 0
        return "ended with 1"
    text = "hangs" if fault.kind == "hang" else "injected"
    words = {"source": "another is started", "page": "another thread answers", "steward": "the steward"}
    word = words.get(fault.place, text) if fault.kind == "hang" else text
    site.until(lambda: word in site.log.read_text(encoding="utf-8")[length:], f"the log to say: {word}", 30)
    site.drop(4)
    site.settle()
    site.until(site.ready, "the page to answer")
    code = site.stop()
    # A steward that hangs is not replaced, and health names it to the end.
    assert code == (1 if (fault.place, fault.kind) == ("steward", "hang") else 0), f"ended with {code}\n{site.tail()}"
    return f"mended, then stopped with {code}"
