"""Lower precision: which parts it reaches, in one place."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from fbclip.backbone.config import Precision
from fbclip.backbone.tower import Backbone
from fbclip.method.model import Head

_DTYPES: dict[Precision, torch.dtype] = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def set_precision(backbone: Backbone, heads: Iterable[Head], precision: Precision) -> None:
    """Matrix products of the blocks and of FB-Attention in `precision`; everything else stays float32."""
    if precision == "float32":
        return
    backbone.compute_in(_DTYPES[precision])
    for head in heads:
        head.attention.product_dtype = _DTYPES[precision]
