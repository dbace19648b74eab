"""A backbone and a run so small that a test trains it in a second."""

from __future__ import annotations

from calibrate.embedded.pretraining.config import PretrainConfig
from fbclip.backbone.config import EMBEDDED

TINY_CLIP = EMBEDDED.model_copy(
    update={
        "name": "tiny",
        "image_size": 64,
        "width": 16,
        "heads": 2,
        "embed_dim": 16,
        "text_width": 16,
        "text_heads": 2,
        "text_layers": 1,
    }
)
TINY_RUN = PretrainConfig(steps=3, batch=4, captions=4, warmup=1, mixed=False)
