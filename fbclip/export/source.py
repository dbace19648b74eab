"""What is exported: a frozen float32 backbone with adapters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fbclip.artefacts.adapter import Adapter
from fbclip.backbone.tower import Backbone


@dataclass(frozen=True, eq=False)
class ExportSource:
    """sha256: of the backbone's tensors; layers: all that its graph gives, rising."""

    backbone: Backbone
    sha256: str
    adapters: Sequence[Adapter]
    layers: Sequence[int]
