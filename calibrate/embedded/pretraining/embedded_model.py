"""The embedded model from nothing: the backbone, then its adapter."""

from __future__ import annotations

import os
from dataclasses import dataclass

from calibrate.embedded.pretraining.adapter import AdapterRequest, train_adapter
from calibrate.embedded.pretraining.run import PretrainRequest, pretrain_backbone
from fbclip.artefacts.adapter import Adapter, save_adapter
from fbclip.backbone.weights import find_weights


@dataclass(frozen=True)
class EmbeddedModelRequest:
    """Both halves; with `adapter_only` the backbone that is already in `backbone.out` stays."""

    backbone: PretrainRequest
    adapter: AdapterRequest
    adapter_only: bool = False


def train_embedded_model(request: EmbeddedModelRequest) -> Adapter | None:
    """Train and write both to `backbone.out`; the adapter, or None in the processes that torchrun adds to the first.

    Raises TrainingError when training cannot go on, WeightsError when there is no backbone to tune on.
    """
    if not request.adapter_only:
        pretrain_backbone(request.backbone)
    # The adapter is small enough for one process.
    if os.environ.get("RANK", "0") != "0":
        return None
    out = request.backbone.out
    adapter = train_adapter(find_weights("embedded", out / "backbone.safetensors"), request.adapter)
    save_adapter(adapter, out / "adapter")
    return adapter
