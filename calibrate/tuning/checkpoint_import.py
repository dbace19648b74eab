"""The authors' checkpoint -> an adapter bound to the backbone it was tuned on."""

from __future__ import annotations

from pathlib import Path

import torch

from calibrate.tuning.training import Tuned
from fbclip.artefacts.adapter import Adapter
from fbclip.artefacts.checkpoint import import_checkpoint
from fbclip.backbone.weights import WeightsFile, open_backbone
from fbclip.files import file_sha256
from fbclip.method.defaults import method_for
from fbclip.method.text import load_text_tower


def import_adapter(checkpoint: Path, weights: WeightsFile) -> Adapter:
    """Prototypes are computed once here, so the text tower is not needed at run time.

    Raises AdapterError when the checkpoint is of another kind or does not fit the backbone.
    """
    method = method_for(weights.config)
    head, fusion = import_checkpoint(checkpoint, weights.config, method)
    _, digest = open_backbone(weights, method.image_size)
    with torch.no_grad():
        prototypes = fusion(load_text_tower(weights.all(), weights.config))
    tuned = Tuned(head.eval(), fusion.eval(), prototypes)
    provenance: dict[str, object] = {"imported_from_sha256": file_sha256(checkpoint)}
    return tuned.adapter(digest, weights.config, provenance)
