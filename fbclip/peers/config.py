"""The numbers of the compared methods as named fields; shape letters as in `fbclip/method/config.py`.

Layers and depths are those of the backbone at hand: a published choice for 24 blocks is kept as its share of the depth.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fbclip.backbone.config import BackboneConfig
from fbclip.errors import ConfigError
from fbclip.frozen import Frozen
from fbclip.method.defaults import method_for

FBCLIP = "fb-clip"
"""What adapters and profiles are of that name no method: the method that all others are compared with."""
PeerName = Literal["vanilla", "clipad", "winclip", "anomalyclip", "afclip", "faprompt"]
Layers = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]


class PeerBase(Frozen):
    """What every method has: the side S of its input in pixels, and the Gaussian over its map in map pixels."""

    image_size: int = Field(gt=0)
    smoothing_sigma: float = Field(ge=0)
    temperature: float = Field(0.07, gt=0)


class VanillaConfig(PeerBase):
    """Base CLIP with fixed prompts."""

    name: Literal["vanilla"] = "vanilla"
    class_name: str = Field(min_length=1, max_length=100)
    prompts: Literal["plain", "ensemble"] = "ensemble"
    smoothing_sigma: float = Field(4.0, ge=0)


class ClipAdConfig(PeerBase):
    """CLIP-AD: staged dual path and feature surgery, without training (SDP), or with linear layers (SDP+)."""

    name: Literal["clipad"] = "clipad"
    class_name: str = Field(min_length=1, max_length=100)
    feature_layers: Layers = Field(description="ends of the stages; the last is the last block")
    representative: Literal["mean", "dbscan"] = "dbscan"
    dbscan_eps: float = Field(0.5, gt=0, description="1.5 in the authors' script for VisA")
    dbscan_min_samples: int = Field(15, ge=1, description="25 in the authors' script for VisA")
    linear: bool = Field(False, description="SDP+: the learned linear layers count too")
    logit_scale: float = Field(100.0, gt=0)
    smoothing_sigma: float = Field(8.0, ge=0)


class WinClipConfig(PeerBase):
    """WinCLIP: windows of several sizes; with a few normal images WinCLIP+."""

    name: Literal["winclip"] = "winclip"
    class_name: str = Field(min_length=1, max_length=100)
    scales: Layers = (2, 3)
    patches: Literal["raw", "normed"] = Field("raw", description="of a memory: before or after the last norm")
    smoothing_sigma: float = Field(0.0, ge=0)


class AnomalyClipConfig(PeerBase):
    """AnomalyCLIP: learned prompts without a class, a second path of value attention."""

    name: Literal["anomalyclip"] = "anomalyclip"
    prompt_length: int = Field(12, ge=1)
    deep_prompt_length: int = Field(4, ge=0)
    deep_prompts: int = Field(8, ge=0, description="text blocks from the second on whose first places are replaced")
    dual_blocks: int = Field(ge=1, description="last blocks with a second path")
    feature_layers: Layers = Field(description="the released scripts take the last block alone")
    smoothing_sigma: float = Field(4.0, ge=0)


class AfClipConfig(PeerBase):
    """AF-CLIP: one adapter over aggregated tokens; with a few normal images a memory."""

    name: Literal["afclip"] = "afclip"
    prompt_length: int = Field(12, ge=1)
    feature_layers: Layers
    memory_layers: Layers
    neighbourhoods: Layers = (1, 3, 5)
    aggregation_sigma: float = Field(4.0, gt=0)
    adapter_heads: int = Field(8, ge=1)
    adapter_head_width: int = Field(64, ge=1)
    alpha: float = Field(0.1, ge=0, description="share of zero-shot beside a memory")
    smoothing_sigma: float = Field(4.0, ge=0)

    @model_validator(mode="after")
    def _odd(self) -> AfClipConfig:
        if any(side % 2 == 0 for side in self.neighbourhoods):
            raise ValueError(f"neighbourhoods {self.neighbourhoods} must be odd")
        return self


class FaPromptConfig(PeerBase):
    """FAPrompt: ten learned kinds of defect, adapted to each image by its own patches."""

    name: Literal["faprompt"] = "faprompt"
    normal_tokens: int = Field(5, ge=1)
    abnormal_tokens: int = Field(2, ge=1)
    abnormal_prompts: int = Field(10, ge=1)
    prior_tokens: int = Field(10, ge=1)
    prior_width: int = Field(480, ge=1, description="hidden numbers of the prior net")
    deep_prompt_length: int = Field(4, ge=0)
    deep_prompts: int = Field(8, ge=0)
    dual_blocks: int = Field(ge=1)
    smoothing_sigma: float = Field(10.0, ge=0)


PeerConfig = Annotated[
    VanillaConfig | ClipAdConfig | WinClipConfig | AnomalyClipConfig | AfClipConfig | FaPromptConfig,
    Field(discriminator="name"),
]
BY_CLASS: tuple[PeerName, ...] = ("vanilla", "clipad", "winclip")
"""Their prompts name the class; nothing about them has to be learned."""
FEW_SHOT: tuple[PeerName, ...] = ("winclip", "afclip")
"""They have a form that remembers a few normal images."""
NAMES: tuple[PeerName, ...] = ("vanilla", "clipad", "winclip", "anomalyclip", "afclip", "faprompt")


def peer_config(name: str, backbone: BackboneConfig, class_name: str | None = None) -> PeerConfig:
    """The method as it is published, on `backbone`: layers and dual blocks at the same shares of its depth.

    WinCLIP and CLIP-AD run at the size that the backbone was trained for, the others at FB-CLIP's. Raises ConfigError
    for an unknown name, and for a method whose prompts name the class where there is no `class_name`.
    """
    if name not in NAMES:
        raise ConfigError(f"method {name!r} is none of {FBCLIP}, {', '.join(NAMES)}")
    if name in BY_CLASS and not class_name:
        raise ConfigError(f"method {name}: its prompts name the product; say which with --product")
    size, depth = method_for(backbone).image_size, backbone.layers
    quarters = tuple(sorted({max(1, round(depth * q / 4)) for q in range(1, 5)}))
    dual = max(1, round(depth * 19 / 24))
    known = class_name or ""
    if name == "vanilla":
        return VanillaConfig(image_size=size, class_name=known)
    if name == "clipad":
        return ClipAdConfig(image_size=backbone.image_size, class_name=known, feature_layers=quarters)
    if name == "winclip":
        return WinClipConfig(image_size=backbone.image_size, class_name=known)
    if name == "anomalyclip":
        return AnomalyClipConfig(image_size=size, dual_blocks=dual, feature_layers=(depth,))
    if name == "afclip":
        return AfClipConfig(image_size=size, feature_layers=quarters, memory_layers=quarters)
    return FaPromptConfig(image_size=size, dual_blocks=dual)
