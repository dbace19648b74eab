"""The small CLIP as a trainable module, and the file it is shipped as."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from open_clip import SimpleTokenizer
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from fbclip.backbone import SelfAttention, resize_positions
from fbclip.config import BackboneConfig
from fbclip.files import write_atomically
from fbclip.stem import ConvStem

_DENSE_ROWS = "token_embedding.weight"


class TrainedAttention(SelfAttention):
    """On a CPU the fused kernel's backward pass is slow: plain products halved a step's time."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Softmax in float32, products in the dtype given."""
        if q.is_cuda:
            return super().attend(q, k, v)
        weights = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        return torch.matmul(weights.float().softmax(dim=-1).to(v.dtype), v)


def build_clip(config: BackboneConfig) -> CLIP:
    """Untrained open_clip CLIP whose state dict has OpenAI's key names; no causal mask in the text tower."""
    clip = CLIP(
        config.embed_dim,
        CLIPVisionCfg(
            layers=config.layers,
            width=config.width,
            head_width=config.width // config.heads,
            patch_size=config.patch_size,
            image_size=config.image_size,
        ),
        CLIPTextCfg(
            context_length=config.context_length,
            vocab_size=config.vocab_size,
            width=config.text_width,
            heads=config.text_heads,
            layers=config.text_layers,
            no_causal_mask=True,
        ),
        quick_gelu=config.quick_gelu,
    )
    if config.stem == "conv":
        clip.visual.conv1 = ConvStem(config.width, config.patch_size)
        for layer in clip.visual.conv1:
            if isinstance(layer, nn.Conv2d):
                # torch's own start shrinks the signal layer by layer, until positions drown what the picture shows.
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
    for block in (*clip.visual.transformer.resblocks, *clip.transformer.resblocks):
        block.attn = TrainedAttention(block.attn)
    return clip


def vision_tokens(clip: CLIP, images: Tensor, layers: Sequence[int], corner: tuple[int, int] | None) -> list[Tensor]:
    """Images (B,3,s,s) -> tokens (B,1+g·g,D) in the joint space, one a layer of `layers` (counted from 1).

    The positional table is cut to g×g at `corner` (row, column), so that small crops see every part of it, or
    resized when `corner` is None. All layers go through the final norm and projection.
    """
    visual = clip.visual
    x = visual.conv1(images)
    grid = x.shape[-1]
    x = x.flatten(2).transpose(1, 2)
    table = visual.positional_embedding
    if corner is None:
        positions = resize_positions(table, grid)
    else:
        side = round((table.shape[0] - 1) ** 0.5)
        square = table[1:].view(side, side, -1)
        part = square[corner[0] : corner[0] + grid, corner[1] : corner[1] + grid]
        positions = torch.cat((table[:1], part.reshape(grid * grid, -1)))
    cls = visual.class_embedding.to(x.dtype).expand(len(x), 1, -1)
    x = visual.ln_pre(torch.cat((cls, x), dim=1) + positions.to(x.dtype))
    tokens = []
    for number, block in enumerate(visual.transformer.resblocks, start=1):
        x = block(x)
        if number in layers:
            tokens.append(visual.ln_post(x) @ visual.proj)
    return tokens


def text_features(clip: CLIP, ids: Tensor, mean_weight: float = 0.0) -> Tensor:
    """Token ids (P,77) -> unit vectors (P,D): the EOT place, plus `mean_weight` times the mean of all places."""
    x = clip.token_embedding(ids) + clip.positional_embedding
    x = clip.ln_final(clip.transformer(x))
    features = x[torch.arange(len(x), device=x.device), ids.argmax(dim=-1)] @ clip.text_projection
    if mean_weight:
        features = features + mean_weight * (x.mean(dim=1) @ clip.text_projection)
    return F.normalize(features.float(), dim=-1)


def distinct(*ids: Tensor) -> Tensor:
    """Sorted different values of several 1-D integer tensors."""
    return torch.as_tensor(np.unique(np.concatenate([part.cpu().numpy() for part in ids])))


def vocabulary(texts: Sequence[str], context_length: int) -> Tensor:
    """Sorted ids of all tokens that the texts use, padding included."""
    ids = torch.as_tensor(SimpleTokenizer()(list(texts), context_length))
    return distinct(ids.flatten(), torch.zeros(1, dtype=ids.dtype))


def shipped_state(clip: nn.Module, rows: Tensor) -> dict[str, Tensor]:
    """float16 tensors of the file: OpenAI's names, with the embedding cut to `rows` (R,) as rows and values."""
    state = {k: v.detach().cpu().to(torch.float16).contiguous() for k, v in clip.state_dict().items()}
    table = state.pop(_DENSE_ROWS)
    state["token_embedding.rows"] = rows.to(torch.int32).cpu()
    state["token_embedding.values"] = table[rows.cpu().long()].contiguous()
    return state


def save_backbone(path: Path, clip: nn.Module, rows: Tensor, about: dict[str, str]) -> None:
    """Write the file beside `path` first and rename it, so that a reader never sees half of it."""
    write_atomically(path, save(shipped_state(clip, rows), metadata=about))
