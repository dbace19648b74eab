"""A second agent on the same data directory, database or hot folder is refused; the first notices nothing."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from tests.faults.agent_process import spawn
from tests.faults.invariants import check
from tests.faults.site import a_site


def two(folder: Path, rounds: int, files: int) -> str:
    """While the first judges, others try all three ways, `rounds` times."""
    with a_site(folder) as site:
        others: dict[str, dict[str, Any]] = {name: copy.deepcopy(site.document) for name in ("data", "store", "folder")}
        for name, document in others.items():
            document["web"]["listen"] = "127.0.0.1:0"
            if name != "data":
                document["agent"]["data_dir"] = str(folder / f"var-{name}")
            if name != "folder":
                (folder / f"inbox-{name}").mkdir()
                document["lines"][0]["source"]["path"] = f"inbox-{name}"
        others["store"]["store"] = {"url": f"sqlite:///{site.store}"}
        site.start()
        refused = 0
        for turn in range(rounds):
            site.drop(files)
            for name, document in others.items():
                config, log = folder / f"{name}.yaml", folder / f"{name}-{turn}.log"
                config.write_text(yaml.safe_dump(document), encoding="utf-8")
                process = spawn(config, log)
                process.join(30)
                said = [line for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("error: ")]
                assert process.exitcode == 1, f"{name}: {process.exitcode}: {log.read_text(encoding='utf-8')}"
                assert len(said) == 1 and "another agent" in said[0], said
                refused += 1
        site.settle()
        assert site.stop() == 0
        return f"{refused} second agents refused, {check(site)}"
