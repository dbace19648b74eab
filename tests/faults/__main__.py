"""`python -m tests.faults NAME [--long]`: one fault by hand; without a name, all short ones. Prints its counts.

`--seconds N` with `soak`: how long.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.faults.catalog import CATALOG
from tests.faults.soak import soak


def tell(text: str) -> None:
    """At once, also into a file."""
    print(text, flush=True)  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("name", nargs="*", metavar="NAME")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--seconds", type=float)
    given = parser.parse_args()
    for name in given.name or [name for name, lengths in CATALOG.items() if lengths.short is not None]:
        lengths = CATALOG[name]
        run = lengths.long if given.long or lengths.short is None else lengths.short
        if name == "soak" and given.seconds is not None:
            run = partial(soak, seconds=given.seconds, tell=tell)
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            try:
                counts = run(Path(folder) / name)
            except AssertionError as error:
                tell(f"{name}: BROKEN: {error}")
                sys.exit(1)
            tell(f"{name}: {counts} ({time.monotonic() - began:.0f} s)")


if __name__ == "__main__":
    main()
