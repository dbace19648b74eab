"""The shape of a CLIP that carries the method, and the two that are known by name."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from fbclip.frozen import Frozen

Precision = Literal["float32", "bfloat16", "float16", "int8"]
"""Of the matrix products; int8 of exports only."""
RuntimeName = Literal["torch", "onnxruntime", "openvino"]
"""What computes."""
ExportFormat = Literal["onnx", "openvino"]
"""Of the graphs: for ONNX Runtime, for OpenVINO."""
STEM = 0
"""The layer before the first block; blocks are counted from 1."""


class BackboneConfig(Frozen):
    """The CLIP that carries the method; sizes in pixels, widths in channels."""

    name: str
    image_size: int = Field(336, gt=0, description="side the positional embedding was trained for")
    patch_size: int = Field(14, gt=0)
    layers: int = Field(24, gt=0)
    width: int = Field(1024, gt=0)
    heads: int = Field(16, gt=0)
    mlp_ratio: float = Field(4.0, gt=0, description="of the image tower's blocks")
    embed_dim: int = Field(768, gt=0)
    text_width: int = Field(768, gt=0)
    text_heads: int = Field(12, gt=0)
    text_layers: int = Field(12, ge=0)
    context_length: int = Field(77, gt=0)
    vocab_size: int = Field(49408, gt=0)
    quick_gelu: bool = Field(True, description="OpenAI weights were trained with QuickGELU")
    stem: Literal["patch", "conv", "imagenet"] = Field(
        "patch", description="CLIP's patch convolution, several small ones, or frozen features"
    )

    @model_validator(mode="after")
    def _divisible(self) -> BackboneConfig:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.text_width % self.text_heads:
            raise ValueError(f"text_width {self.text_width} is not a multiple of text_heads {self.text_heads}")
        if self.stem == "conv" and (self.patch_size < 4 or self.patch_size & (self.patch_size - 1)):
            raise ValueError(f"a convolutional stem needs a patch_size of 4, 8, 16 …, got {self.patch_size}")
        if self.stem == "imagenet" and self.patch_size != 16:
            raise ValueError(f"a stem of imagenet features has a patch_size of 16, got {self.patch_size}")
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}")
        return self


VIT_L_14_336 = BackboneConfig(name="ViT-L-14-336")
EMBEDDED = BackboneConfig(
    name="embedded",
    image_size=256,
    patch_size=16,
    layers=4,
    width=192,
    heads=6,
    embed_dim=128,
    text_width=128,
    text_heads=2,
    text_layers=2,
    context_length=77,
    quick_gelu=False,
    stem="imagenet",
)
EMBEDDED_1 = EMBEDDED.model_copy(update={"layers": 6, "stem": "conv"})
"""The first embedded model; lines that were set up with it go on with it."""
