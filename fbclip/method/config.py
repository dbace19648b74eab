"""Every number of the method as a named field, with its source (FB-CLIP, CVPR 2026, and the authors' code).

Shape letters used everywhere: B images, N = 1 + L tokens (CLS first), L = h·w patches, C backbone width,
D joint embedding, K feature layers, V views, S input side in pixels.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from fbclip.backbone.config import STEM
from fbclip.frozen import Frozen

View = Literal["identity", "semantic", "spatial"]
VIEWS: tuple[View, ...] = ("identity", "semantic", "spatial")


class TextConfig(Frozen):
    """Prompts and MSTFF (paper 3.2; words and weights from the released code)."""

    prompt_length: int = Field(12, ge=1, description="learned context vectors after the start token")
    normal: str = "object without defect."
    abnormal: str = "object with defect."
    weight_global: float = 1.0
    weight_attn: float = 0.5
    weight_eot: float = 0.5


class ForegroundConfig(Frozen):
    """The soft foreground mask (paper 3.3)."""

    weight_local: float = 0.3
    weight_center: float = 0.3
    weight_cls: float = 0.3
    weight_layer: float = 0.1
    local_kernel: int = 3
    smooth_kernel: int = 5
    threshold: float = 0.5
    background_value: float = 0.5
    range_floor: float = 1e-6


class ViewConfig(Frozen):
    """The semantic and spatial views (paper 3.3)."""

    semantic_mix: float = Field(0.6, description="share of the mixed fore/background; the rest is the token")
    spatial_window: int = Field(5, description="side of the square window in patches, odd")
    spatial_floor: float = 1e-8


class AttentionConfig(Frozen):
    """FB-Attention, one module shared by all K·V inputs."""

    heads: int = Field(8, gt=0)
    head_width: int = Field(64, gt=0)


class ScoreConfig(Frozen):
    """Logits and maps."""

    temperature: float = Field(0.07, gt=0)
    layer_weights: int = Field(6, ge=1, description="learned weights in the softmax; the first K are used")
    smoothing_sigma: float = Field(4.0, ge=0, description="Gaussian, in map pixels")
    smoothing_truncate: float = 4.0


class ContrastConfig(Frozen):
    """What the rarity of a patch in its own image adds to the map; nothing as published."""

    weight: float = Field(0.0, ge=0, description="logits for a distance e times as large")
    floor: float = Field(0.1, gt=0, description="share of the mean variance that every direction has at least")


class ConsistencyConfig(Frozen):
    """SCR, used in tuning only (paper 3.5)."""

    weight: float = Field(0.15, ge=0)
    weight_entropy: float = 1.0
    weight_margin: float = 0.5
    margin: float = 1.0
    entropy_floor: float = 1e-8


class ModulesConfig(Frozen):
    """The parts of the paper's ablation table; SCR is off with `consistency.weight` 0.

    Off means: MSTFF the EOT feature alone; MVFBE the raw tokens, without views and FB-Attention; background
    subtraction the features as they are. All off is plain CLIP with learned prompts.
    """

    mstff: bool = True
    mvfbe: bool = True
    background_subtraction: bool = True


class FBCLIPConfig(Frozen):
    """The whole method on top of one backbone."""

    image_size: int = Field(518, gt=0, description="S, side of the square input in pixels")
    feature_layers: tuple[int, ...] = Field((1, 6, 12, 18, 24), description="block outputs, counted from 1")
    views: tuple[View, ...] = Field(VIEWS, min_length=1)
    modules: ModulesConfig = ModulesConfig()
    text: TextConfig = TextConfig()
    foreground: ForegroundConfig = ForegroundConfig()
    view: ViewConfig = ViewConfig()
    attention: AttentionConfig = AttentionConfig()
    score: ScoreConfig = ScoreConfig()
    contrast: ContrastConfig = ContrastConfig()
    consistency: ConsistencyConfig = ConsistencyConfig()

    @model_validator(mode="after")
    def _layers(self) -> FBCLIPConfig:
        if list(self.feature_layers) != sorted(set(self.feature_layers)) or self.feature_layers[0] < 1:
            raise ValueError(f"feature_layers {self.feature_layers} must rise and start at 1 or later")
        if len(set(self.views)) != len(self.views):
            raise ValueError(f"views {self.views} names one twice")
        if len(self.feature_layers) > self.score.layer_weights:
            raise ValueError(
                f"{len(self.feature_layers)} feature_layers need as many layer_weights, got {self.score.layer_weights}"
            )
        return self

    @property
    def layers(self) -> tuple[int, ...]:
        """All that is read of a backbone: the feature layers, and the stem where contrast counts."""
        return ((STEM,) if self.contrast.weight else ()) + self.feature_layers

    @property
    def active_views(self) -> tuple[View, ...]:
        """The views that are computed: without MVFBE the raw tokens alone."""
        return self.views if self.modules.mvfbe else ("identity",)


EMBEDDED_METHOD = FBCLIPConfig(
    image_size=256,
    feature_layers=(2, 3, 4),
    # The paper's window spans an eighth of its 37 patches a side; of 16, five would be a third.
    view=ViewConfig(semantic_mix=0.3, spatial_window=3),
    attention=AttentionConfig(heads=6, head_width=32),
    contrast=ContrastConfig(weight=4.0),
)
