"""The small CLIP as a trainable module, and the file it is shipped as."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from open_clip import SimpleTokenizer
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from calibrate.embedded.pretraining.layers import CaptionEmbedding, TrainingAttention
from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.imagenet_stem import ImageNetStem
from fbclip.backbone.tower import resize_positions
from fbclip.files import write_atomically


def build_clip(config: BackboneConfig, rows: Tensor) -> CLIP:
    """Untrained open_clip CLIP whose state dict has OpenAI's key names; no causal mask in the text tower.

    Of the vocabulary it knows `rows` (R,) alone.
    """
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
    if config.stem == "imagenet":
        clip.visual.conv1 = ImageNetStem(config.width)
    clip.token_embedding = CaptionEmbedding(rows, config.vocab_size, config.text_width)
    for block in (*clip.visual.transformer.resblocks, *clip.transformer.resblocks):
        block.attn = TrainingAttention(block.attn)
    return clip


def vision_tokens(clip: CLIP, patches: Tensor, layers: Sequence[int]) -> list[Tensor]:
    """Patches (B,C,g,g) -> tokens (B,1+g·g,D) in the joint space, one a layer of `layers` (counted from 1).

    All layers go through the final norm and projection. The grid need not be the one the positions are stored for.
    """
    visual = clip.visual
    positions = resize_positions(visual.positional_embedding, patches.shape[-1])
    x = patches.flatten(2).transpose(1, 2)
    cls = visual.class_embedding.to(x.dtype).expand(len(x), 1, -1)
    x = visual.ln_pre(torch.cat((cls, x), dim=1) + positions.to(x.dtype))
    tokens = []
    for number, block in enumerate(visual.transformer.resblocks, start=1):
        x = block(x)
        if number in layers:
            tokens.append(visual.ln_post(x) @ visual.proj)
    return tokens


def text_features(clip: CLIP, ids: Tensor, mean_weight: float = 0.0) -> Tensor:
    """Token ids (P,77) -> unit vectors (P,D): the EOT position, plus `mean_weight` times the mean of all positions."""
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


def shipped_state(clip: CLIP) -> dict[str, Tensor]:
    """float16 tensors of the file: OpenAI's names, with the embedding of the known words as rows and values."""
    state = {k: v.detach().cpu().to(torch.float16).contiguous() for k, v in clip.state_dict().items()}
    table: CaptionEmbedding = clip.token_embedding
    state["token_embedding.rows"] = table.rows.cpu()
    state["token_embedding.values"] = state.pop("token_embedding.weight")
    return state


def save_backbone(path: Path, clip: CLIP, about: dict[str, str]) -> None:
    """Write the file beside `path` first and rename it, so that a reader never sees half of it."""
    write_atomically(path, save(shipped_state(clip), metadata=about))
