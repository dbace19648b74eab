"""The frozen CLIP image tower: (B,3,S,S) -> K raw block outputs (B,N,C). Sections 1 and 10 of the method.

The output of its stem is available too, as layer 0: memories are made of it.

The text tower lives in `method/text.py` and is not built here: with the prototypes known it is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from open_clip.transformer import QuickGELU, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from fbclip.backbone.config import STEM, BackboneConfig
from fbclip.backbone.conv_stem import ConvStem, cell_width
from fbclip.backbone.imagenet_stem import ImageNetStem, fine_tokens
from fbclip.errors import ConfigError, WeightsError
from fbclip.features.imagenet import ImageNetFeatures, Strides, open_imagenet

VISUAL_PREFIX = "visual."


class BlockNorm(nn.LayerNorm):
    """LayerNorm in float32 that returns its result in dtype `output`: blocks compute in it, the residual is float32."""

    output: torch.dtype | None = None

    def forward(self, x: Tensor) -> Tensor:
        y = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return y if self.output is None else y.to(self.output)


class SelfAttention(nn.Module):
    """torch's multi-head attention with its parameters, through the fused kernel: (B,N,C) -> (B,N,C).

    torch's own either writes out the whole attention matrix (its fast path) or transposes the batch, which in bfloat16
    on a CPU makes two images take a hundred times as long as one.
    """

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.heads = attention.num_heads
        self.in_proj_weight, self.in_proj_bias = attention.in_proj_weight, attention.in_proj_bias
        self.out_proj = attention.out_proj

    def forward(self, query: Tensor, _key: Tensor, _value: Tensor, **_: object) -> tuple[Tensor, None]:
        """As open_clip's blocks call it: three times the same tokens, without a mask."""
        b, n, c = query.shape
        qkv = F.linear(query, self.in_proj_weight, self.in_proj_bias).view(b, n, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B,heads,N,C/heads)
        out = self.attend(q, k, v)
        return self.out_proj(out.transpose(1, 2).reshape(b, n, c)), None

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Softmax attention of (B,heads,N,d) each."""
        return F.scaled_dot_product_attention(q, k, v)


class Backbone(nn.Module):
    """Frozen ViT with a CLS token, built for square inputs of side `image_size`."""

    def __init__(self, config: BackboneConfig, image_size: int) -> None:
        super().__init__()
        if image_size < config.patch_size or image_size % config.patch_size:
            raise ConfigError(f"image_size {image_size} is not a multiple of the patch size {config.patch_size}")
        self.config = config
        self.image_size = image_size
        self.grid = image_size // config.patch_size
        self.visual = VisionTransformer(
            image_size=image_size,
            patch_size=config.patch_size,
            width=config.width,
            layers=config.layers,
            heads=config.heads,
            mlp_ratio=config.mlp_ratio,
            output_dim=config.embed_dim,
            act_layer=QuickGELU if config.quick_gelu else nn.GELU,
            norm_layer=BlockNorm,
        )
        self.features: ImageNetFeatures | None = None
        if config.stem == "conv":
            self.visual.conv1 = ConvStem(config.width, config.patch_size)
        elif config.stem == "imagenet":
            self.visual.conv1 = ImageNetStem(config.width)
        for block in self.visual.transformer.resblocks:
            block.attn = SelfAttention(block.attn)

    def open_features(self) -> Backbone:
        """With the frozen features that its stem looks through, if it does. Raises WeightsError where they are missing.

        Not part of the constructor: that may run on the meta device, to which no weights can be loaded.
        """
        if self.config.stem == "imagenet":
            self.features = open_imagenet()
        return self

    def compute_in(self, dtype: torch.dtype) -> Backbone:
        """Attention and MLP of every block in `dtype`; embedding, features, norms, residual and output stay float32."""
        for block in self.visual.transformer.resblocks:
            block.attn.to(dtype)
            block.mlp.to(dtype)
            block.ln_1.output = block.ln_2.output = dtype
        return self

    @property
    def projection(self) -> Tensor:
        """CLIP's visual projection (C,D)."""
        projection: Tensor = self.visual.proj
        return projection

    def forward(self, images: Tensor, layers: Sequence[int], strides: Strides | None = None) -> list[Tensor]:
        """Normalised images (B,3,S,S) -> what each of the rising `layers`, at least one, gives.

        Blocks, counted from 1: their raw output (B,N,C). Layer 0, the stem: (B,L,C), patches without CLS; of a
        convolutional stem its cells of half a patch, averaged in each patch, before the last stage; of imagenet
        features cells of half a patch, (B,4L,F). `strides`: what `features` gives of the images, where that is known.
        """
        if images.ndim != 4 or tuple(images.shape[1:]) != (3, self.image_size, self.image_size):
            raise ConfigError(f"images must be (B,3,{self.image_size},{self.image_size}), got {tuple(images.shape)}")
        if layers[-1] > self.config.layers:
            raise ConfigError(f"backbone {self.config.name} has {self.config.layers} blocks, asked was {layers[-1]}")
        cells, patches = self._stem(images, strides)
        out = [cells] if STEM in layers else []
        x = torch.as_tensor(self.visual.ln_pre(self._positioned(patches)))
        for number, block in enumerate(self.visual.transformer.resblocks[: layers[-1]], start=1):
            x = block(x)
            if number in layers:
                out.append(x)
        return out

    def _stem(self, images: Tensor, strides: Strides | None) -> tuple[Tensor, Tensor]:
        """(B,3,S,S) -> layer 0 and patches (B,C,g,g)."""
        stem = self.visual.conv1
        if isinstance(stem, ConvStem):
            cells, patches = stem.cells_and_patches(images)
            return _tokens(F.adaptive_avg_pool2d(cells, self.grid)), patches
        if self.features is not None:
            found = strides or self.features(images)
            return fine_tokens(found), stem(found)
        patches = stem(images)
        return _tokens(patches), patches

    def positioned(self, images: Tensor, strides: Strides | None = None) -> Tensor:
        """Normalised images (B,3,S,S) -> (B,N,C): CLS in front, positions added; before `ln_pre` and all blocks."""
        return self._positioned(self._stem(images, strides)[1])

    def _positioned(self, patches: Tensor) -> Tensor:
        visual = self.visual
        tokens = _tokens(patches)
        cls = visual.class_embedding.to(tokens.dtype).expand(tokens.shape[0], 1, -1)
        return torch.as_tensor(torch.cat((cls, tokens), dim=1) + visual.positional_embedding.to(tokens.dtype))


def _tokens(grid: Tensor) -> Tensor:
    """(B,C,h,w) -> (B,h·w,C)"""
    return grid.flatten(2).transpose(1, 2)


def layer_width(config: BackboneConfig, layer: int) -> int:
    """Numbers that a token of `layer` has, counted as in `Backbone.forward`; not of a stem of imagenet features."""
    if layer == STEM and config.stem == "conv":
        return cell_width(config.width, config.patch_size)
    return config.width


def resize_positions(positions: Tensor, grid: int) -> Tensor:
    """Positional embedding (1+g·g, C) -> (1+grid·grid, C): patches bilinear, align_corners=False, CLS kept."""
    side = round((positions.shape[0] - 1) ** 0.5)
    if side * side + 1 != positions.shape[0]:
        raise WeightsError(f"positional embedding of {positions.shape[0]} positions is no square grid with a CLS token")
    if side == grid:
        return positions
    cls, patches = positions[:1], positions[1:]
    square = patches.reshape(1, side, side, -1).permute(0, 3, 1, 2).float()
    square = F.interpolate(square, size=(grid, grid), mode="bilinear", align_corners=False)
    patches = square.permute(0, 2, 3, 1).reshape(grid * grid, -1).to(positions.dtype)
    return torch.cat((cls, patches))


def load_backbone(state: Mapping[str, Tensor], config: BackboneConfig, image_size: int) -> Backbone:
    """Frozen float32 backbone from OpenAI's key names (`visual.*`); other keys are ignored.

    Raises WeightsError when a tensor is missing, has another shape or holds a non-finite number.
    """
    with torch.device("meta"):
        backbone = Backbone(config, image_size)
    own = {k.removeprefix(VISUAL_PREFIX): v.float() for k, v in state.items() if k.startswith(VISUAL_PREFIX)}
    if not own:
        raise WeightsError("the file holds no visual.* tensors: not a CLIP with a ViT image tower")
    if "class_embedding" not in own:
        raise WeightsError("the image tower has no CLS token, which the method needs")
    own["positional_embedding"] = resize_positions(own["positional_embedding"], backbone.grid)
    load_strictly(backbone.visual, own, "image tower")
    return backbone.open_features().requires_grad_(False).eval()


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Put `tensors` into `module` by assignment; names, shapes and finiteness must match exactly."""
    expected = dict(module.state_dict())
    missing = sorted(expected.keys() - tensors.keys())
    foreign = sorted(tensors.keys() - expected.keys())
    if missing or foreign:
        raise WeightsError(f"{what}: missing {missing[:3]}, unexpected {foreign[:3]}")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise WeightsError(f"{what}: {name} is {tuple(tensor.shape)}, needs {tuple(expected[name].shape)}")
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{what}: {name} holds a non-finite number")
    module.load_state_dict(dict(tensors), strict=True, assign=True)
