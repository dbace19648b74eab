"""What is run, and by which numbers: FB-CLIP whole or by its parts, other methods, and the recipe of the release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibrate.errors import DataError
from calibrate.tuning.learner import Published
from calibrate.tuning.learners import LEARNS
from fbclip.backbone.config import BackboneConfig
from fbclip.errors import ConfigError
from fbclip.method.config import FBCLIPConfig
from fbclip.method.defaults import method_for
from fbclip.peers.config import FBCLIP, PeerConfig, peer_config

_OFF = {"mstff": False, "mvfbe": False, "background_subtraction": False}
_NO_SCR = {"consistency": {"weight": 0.0}}
ABLATION: Mapping[str, Mapping[str, Any]] = {
    "mstff": {"modules": {**_OFF, "mstff": True}, **_NO_SCR},
    "mstff-mvfbe": {"modules": {**_OFF, "mstff": True, "mvfbe": True}, **_NO_SCR},
    "bs-alone": {"modules": {**_OFF, "background_subtraction": True}, **_NO_SCR},
}
"""Rows of the ablation beside the whole method, and `vanilla`, base CLIP, which learns nothing."""


@dataclass(frozen=True)
class PaperRow:
    """One row of the table. variant: of FB-CLIP, None for another method; adapter: of one that was learned before.

    implied: it was not asked for by name, and is left out where the backbone cannot run it.
    """

    name: str
    method: str = FBCLIP
    variant: Mapping[str, Any] | None = None
    adapter: Path | None = None
    implied: bool = False

    @property
    def tuned(self) -> bool:
        """Whether it is tuned here, on the training set."""
        return self.method in LEARNS and self.adapter is None

    @property
    def published(self) -> Published:
        """How its authors train it."""
        return LEARNS[self.method]


@dataclass(frozen=True)
class PaperRequest:
    """train and test: name -> folder of a data set. The first row is the one that the others are compared with.

    epochs: of every row that is tuned, by default what the method's authors take.
    """

    train: tuple[str, Path]
    test: Mapping[str, Path]
    rows: Sequence[PaperRow]
    backbone: str
    weights: Path | None
    device: str
    out: Path
    seeds: int = 1
    epochs: int | None = None
    size: int | None = None
    trust: bool = False
    skip_bad: bool = False


def rows_of(methods: Sequence[str], adapters: Mapping[str, Path], ablation: bool) -> list[PaperRow]:
    """FB-CLIP, its parts with `ablation`, and other methods, each once and in this order."""
    rows = [PaperRow(FBCLIP, variant={})]
    if ablation:
        rows += [PaperRow(name, variant=changes) for name, changes in ABLATION.items()]
        rows += [PaperRow("vanilla", "vanilla", implied="vanilla" not in methods)]
    others = [m for m in dict.fromkeys(methods) if m not in {row.name for row in rows}]
    return [*rows, *(PaperRow(m, m, adapter=adapters.get(m)) for m in others)]


def method_of(row: PaperRow, backbone: BackboneConfig, size: int | None) -> FBCLIPConfig | PeerConfig:
    """FB-CLIP with the parts of this row, or the method that it is compared with."""
    if row.method != FBCLIP:
        peer = peer_config(row.method, backbone)
        return peer.model_copy(update={"image_size": method_for(backbone, size).image_size})
    values = method_for(backbone, size).model_dump()
    for group, changes in (row.variant or {}).items():
        values[group] = {**values[group], **changes}
    return FBCLIPConfig.model_validate(values)


def named_sets(given: Sequence[str], option: str) -> dict[str, Path]:
    """`name=folder` of each.

    Raises ConfigError for another form or a name that stands twice, DataError for a folder that is not there.
    """
    found: dict[str, Path] = {}
    for text in given:
        name, equals, folder = text.partition("=")
        if not equals or not name.replace("-", "").replace("_", "").isalnum():
            raise ConfigError(f"{option} {text}: must be NAME=FOLDER, such as visa=/data/visa")
        if name in found:
            raise ConfigError(f"{option}: {name} stands twice")
        if not Path(folder).is_dir():
            raise DataError(f"{option} {name}: {folder} is no folder")
        found[name] = Path(folder)
    return found
