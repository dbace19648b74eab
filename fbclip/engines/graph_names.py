"""What the graphs of an export are called, and what goes in and out of each, by name.

`backbone` is shared; `views`, `attention` and `score` belong to one adapter. They are cut where precision changes:
only `backbone` and `attention` may compute below float32. Tensors that one graph gives have the names that the next
one takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from fbclip.method.config import FBCLIPConfig

Part = Literal["backbone", "views", "attention", "score"]
IMAGES = "images"
GAIN, MARGIN, MAP, GRID = "gain", "margin", "map", "grid"
STRIDES = (8, 16)


def layer(number: int) -> str:
    """Raw tokens of a layer: block, counted from 1, or 0, the stem."""
    return f"layer_{number}"


def stride(pixels: int) -> str:
    """Tokens of the imagenet features."""
    return f"stride_{pixels}"


def backbone_outputs(layers: Iterable[int], strides: bool) -> list[str]:
    return [layer(number) for number in layers] + ([stride(s) for s in STRIDES] if strides else [])


def masks(method: FBCLIPConfig) -> list[str]:
    """Foreground masks, of each feature layer in turn."""
    return [f"mask_{number}" for number in method.feature_layers] if views_outputs(method) else []


def views_outputs(method: FBCLIPConfig) -> list[str]:
    """Masks, and what the views other than identity are made of; nothing where there are none."""
    names = []
    for number in method.feature_layers:
        if method.active_views == ("identity",):
            continue
        names.append(f"mask_{number}")
        for view in method.active_views:
            if view == "semantic":
                names += [f"mix_{number}", f"sums_{number}"]
            elif view == "spatial":
                names.append(f"spatial_{number}")
    return names


def attention_inputs(method: FBCLIPConfig) -> list[str]:
    tokens = [layer(number) for number in method.feature_layers]
    return tokens + [name for name in views_outputs(method) if not name.startswith("mask_")]


def attended(method: FBCLIPConfig) -> list[str]:
    """What is scored: attended views of each layer in turn; without MVFBE the tokens as they are."""
    if not method.modules.mvfbe:
        return [layer(number) for number in method.feature_layers]
    return [f"attended_{number}_{view}" for number in method.feature_layers for view in method.active_views]


def score_inputs(method: FBCLIPConfig) -> list[str]:
    return attended(method) + ([GAIN] if method.contrast.weight else [])


def head_parts(method: FBCLIPConfig) -> list[Part]:
    """The graphs of an adapter, in the order in which they run."""
    parts: list[Part] = []
    if views_outputs(method):
        parts.append("views")
    if method.modules.mvfbe:
        parts.append("attention")
    return [*parts, "score"]
