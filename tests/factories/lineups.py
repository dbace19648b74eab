"""Lines on a tiny detector with profiles in a temporary folder, as agent.yaml would have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.config.line import LineSection
from agent.lineup import Lineup
from agent.pipeline.intake import Intake
from agent.pipeline.judge import Judge
from agent.pipeline.lines import LiveLines
from agent.sources.ledger import OnceLedger
from fbclip.artefacts.profile_file import save_profile
from fbclip.detector import Detector
from tests.factories.lines import a_profile


def folder_line(tmp_path: Path, name: str = "belt", **changes: Any) -> LineSection:
    """Watches the folder `in-NAME`, judged by `NAME.yaml`."""
    (tmp_path / f"in-{name}").mkdir(exist_ok=True)
    source = {"type": "folder", "path": tmp_path / f"in-{name}", "settle_s": 0, "rescan_s": 0.05}
    values = {"name": name, "source": source, "profile": tmp_path / f"{name}.yaml", "mode": "shadow"}
    return LineSection(**(values | changes))


def write_profile_of(detector: Detector, tmp_path: Path, line: str = "belt", file: str = "", **changes: Any) -> None:
    """The profile of a line on this detector, by its name unless another file is named."""
    save_profile(a_profile(detector, line=line, **changes), tmp_path / (file or f"{line}.yaml"))


def a_lineup(detector: Detector) -> Lineup:
    """Without a line."""
    lines = LiveLines()
    return Lineup(detector, Judge(detector, lines, "run"), Intake(4), OnceLedger(), lines, {}, {})
