"""Where a backbone's weights are published, by open_clip's own tables. Pure.

OpenAI's addresses carry the sha256 of the file. The hub's copies are safetensors, whose sha256 the hub states when it
is asked; nothing here knows it before, so it proves that the bytes are the hub's, not that they are OpenAI's. Other
addresses in the tables hold pickles, which are never opened.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from huggingface_hub import hf_hub_url
from open_clip.constants import HF_SAFE_WEIGHTS_NAME
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

from fbclip.backbone.catalog import QUICKGELU_SUFFIX
from fbclip.backbone.config import VIT_L_14_336, BackboneConfig
from fbclip.errors import ConfigError

OPENAI = "openai"


@dataclass(frozen=True)
class WeightsSource:
    """An address, the name that its file gets, and the sha256 of its bytes; None: the server has to state it."""

    url: str
    file_name: str
    sha256: str | None


def weights_sources(config: BackboneConfig, tag: str | None = None) -> tuple[WeightsSource, ...]:
    """The addresses to try in turn. `tag`: which training, as open_clip names it; OpenAI's where it published one.

    Raises ConfigError for a tag that is unknown or missing, or whose activation is not the backbone's.
    """
    name, model = config.name, config.name.removesuffix(QUICKGELU_SUFFIX)
    tags = [t for t in list_pretrained_tags_by_model(name) if _fits(config, t) and _sources(config, t)]
    if tag is None:
        own = name == VIT_L_14_336.name or name.endswith(QUICKGELU_SUFFIX)
        tag = OPENAI if own and OPENAI in tags else tags[0] if len(tags) == 1 else None
    if tag is None or tag not in tags:
        known = ", ".join(tags) if tags else "none that can be opened safely"
        asked = f"{tag!r} is not one of its trainings" if tag else "it was trained more than once; name one with --tag"
        raise ConfigError(f"backbone {name}: {asked} (open_clip lists for {model}: {known})")
    return _sources(config, tag)


def _sources(config: BackboneConfig, tag: str) -> tuple[WeightsSource, ...]:
    entry = get_pretrained_cfg(config.name.removesuffix(QUICKGELU_SUFFIX), tag)
    found = []
    url = entry.get("url", "")
    if tag == OPENAI and re.search(r"/[0-9a-f]{64}/[^/]+\.pt$", url):
        found.append(WeightsSource(url, f"{config.name}.pt", url.split("/")[-2]))
    repository, _, file = entry.get("hf_hub", "").rpartition("/")
    if repository and (not file or file.endswith(".safetensors")):
        address = hf_hub_url(repository, file or HF_SAFE_WEIGHTS_NAME, endpoint=os.environ.get("HF_ENDPOINT") or None)
        found.append(WeightsSource(address, f"{config.name}.safetensors", None))
    return tuple(found)


def _fits(config: BackboneConfig, tag: str) -> bool:
    """Weights that were trained with QuickGELU give other numbers without it."""
    entry = get_pretrained_cfg(config.name.removesuffix(QUICKGELU_SUFFIX), tag)
    return bool(entry.get("quick_gelu", False)) == config.quick_gelu
