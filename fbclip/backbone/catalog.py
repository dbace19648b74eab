"""A name -> a backbone: the embedded model, OpenAI's ViT-L-14-336, or any CLIP ViT of open_clip with a CLS token.

The method reads raw block outputs with a CLS token in front of a square grid of patches, and tokenises its prompts
with CLIP's own vocabulary; whatever cannot give that is refused, saying why.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import open_clip
from open_clip.pretrained import get_pretrained_cfg

from fbclip.backbone.config import EMBEDDED, VIT_L_14_336, BackboneConfig
from fbclip.errors import ConfigError

QUICKGELU_SUFFIX = "-quickgelu"
_VISION_KEYS = {"image_size", "layers", "width", "head_width", "patch_size", "mlp_ratio"}
_TEXT_KEYS = {"context_length", "vocab_size", "width", "heads", "layers"}


def backbone_config(name: str) -> BackboneConfig:
    """The backbone of that name; raises ConfigError for an unknown one and for a tower that the method cannot use.

    OpenAI's weights need QuickGELU: `ViT-L-14-336` has it, of the others the names that end in `-quickgelu`.
    """
    for known in (EMBEDDED, VIT_L_14_336):
        if name == known.name:
            return known
    config = open_clip.get_model_config(name)
    if config is None:
        near = difflib.get_close_matches(name, ["embedded", "ViT-L-14-336", *open_clip.list_models()], 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; `fbclip info` lists them"
        raise ConfigError(f"backbone {name!r} is unknown{hint}")
    why = unsuitable(config)
    if why is not None:
        raise ConfigError(f"backbone {name} cannot carry the method: {why}")
    vision, text = config["vision_cfg"], config["text_cfg"]
    return BackboneConfig(
        name=name,
        image_size=vision["image_size"],
        patch_size=vision["patch_size"],
        layers=vision["layers"],
        width=vision["width"],
        heads=vision["width"] // vision.get("head_width", 64),
        mlp_ratio=vision.get("mlp_ratio", 4.0),
        embed_dim=config["embed_dim"],
        text_width=text["width"],
        text_heads=text["heads"],
        text_layers=text["layers"],
        context_length=text["context_length"],
        vocab_size=text["vocab_size"],
        quick_gelu=bool(config.get("quick_gelu", False)),
    )


def unsuitable(config: Mapping[str, Any]) -> str | None:
    """Why a model of open_clip cannot be used; None when it can."""
    vision, text = config["vision_cfg"], config["text_cfg"]
    reasons = (
        ("multimodal_cfg" in config, "it is a captioning model (CoCa), not a plain CLIP"),
        (
            "timm_model_name" in vision,
            f"its image tower {vision.get('timm_model_name')} comes from timm, without CLIP's CLS token and blocks",
        ),
        (not isinstance(vision.get("layers"), int), "its image tower is a ResNet, without tokens"),
        (_not_square(vision), "its patch grid is not square"),
        (bool(vision.get("attentional_pool")), "it pools by attention, so it has no CLS token that was trained"),
        (vision.get("pool_type", "tok") != "tok", "it pools by the mean of the patches, so its CLS token is untrained"),
        ("hf_model_name" in text, "its text tower comes from another library"),
        ("hf_tokenizer_name" in text, "it has a tokenizer of its own, the prompts need CLIP's"),
    )
    for applies, why in reasons:
        if applies:
            return why
    foreign = sorted((vision.keys() - _VISION_KEYS) | (text.keys() - _TEXT_KEYS))
    return f"its settings {', '.join(foreign)} are not supported" if foreign else None


def _not_square(vision: Mapping[str, Any]) -> bool:
    size, patch = vision.get("image_size"), vision.get("patch_size")
    return not isinstance(size, int) or not isinstance(patch, int) or size % patch != 0


def usable_backbones() -> list[str]:
    """Every name that `backbone_config` takes."""
    names = (n for n in open_clip.list_models() if unsuitable(open_clip.get_model_config(n) or {}) is None)
    return list(dict.fromkeys([EMBEDDED.name, VIT_L_14_336.name, *names]))


def openai_download(name: str) -> tuple[str, str] | None:
    """(url, sha256) of OpenAI's own file for a backbone with QuickGELU; None where OpenAI published none.

    OpenAI's addresses hold the checksum of the file.
    """
    if not name.endswith(QUICKGELU_SUFFIX) and name != VIT_L_14_336.name:
        return None
    url = get_pretrained_cfg(name.removesuffix(QUICKGELU_SUFFIX), "openai").get("url", "")
    return (url, url.split("/")[-2]) if url else None
