"""What a checkpoint in the authors' format is for: backbones by its shapes, the data set by its name. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fbclip.backbone.catalog import backbone_config, usable_backbones
from fbclip.backbone.config import EMBEDDED

DATA_SETS = {
    "mvtec": "MVTec AD", "visa": "VisA", "mpdd": "MPDD", "btad": "BTAD", "dagm": "DAGM", "dtd": "DTD-Synthetic",
    "colondb": "CVC-ColonDB", "clinicdb": "CVC-ClinicDB", "isic": "ISIC", "brainmri": "BrainMRI", "headct": "HeadCT",
}  # fmt: skip
_FOLDERS = 2


@dataclass(frozen=True)
class CheckpointFacts:
    """text_width: of its prompts. backbones: names whose text tower has that width; OpenAI's own first.

    data_set: what file and folder are named after, None where they name none; the file itself does not say.
    """

    text_width: int
    backbones: tuple[str, ...]
    data_set: str | None


def checkpoint_facts(path: Path, width: int) -> CheckpointFacts:
    """Of the file at `path`, whose prompts are `width` numbers wide."""
    names = [n for n in usable_backbones() if n != EMBEDDED.name and backbone_config(n).text_width == width]
    return CheckpointFacts(width, tuple(names), _data_set(path))


def _data_set(path: Path) -> str | None:
    """The name nearest to the file counts, and only where it is the only one there."""
    for part in (path.stem, *(parent.name for parent in path.absolute().parents[:_FOLDERS])):
        words = re.sub(r"[^a-z0-9]", "", part.lower())
        found = [title for word, title in DATA_SETS.items() if word in words]
        if found:
            return found[0] if len(found) == 1 else None
    return None
