"""Golden cases: the largest deviation of every tensor from stored numbers. Section 8 of the method.

What a user runs to trust a new GPU, driver or library version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from fbclip.artefacts.checkpoint import import_checkpoint
from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.tower import load_backbone
from fbclip.errors import FbclipError
from fbclip.frozen import shown_field
from fbclip.images.decode import read_image
from fbclip.images.preprocess import preprocess
from fbclip.method.config import FBCLIPConfig, ScoreConfig, TextConfig
from fbclip.method.consistency import consistency_loss
from fbclip.method.maps import smooth_map, upsample
from fbclip.method.text import load_text_tower
from fbclip.verification.deviation import Deviation, read_safetensors, relative_deviation
from fbclip.verification.peers import peer_case, verify_peer

FORWARD_TOLERANCE = 1e-5
PREPROCESS_MEAN, PREPROCESS_MAX = 0.005, 0.05


class CaseConfig(BaseModel):
    """case.json of a forward or training case; fields of the training part are ignored here."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    image_size: int
    backbone_image_size: int
    vision_layers: int
    vision_width: int
    vision_heads: int
    patch_size: int
    text_width: int
    text_heads: int
    text_layers: int
    embed_dim: int
    context_length: int
    vocab_size: int
    quick_gelu: bool
    feature_layers: tuple[int, ...]
    prompt_length: int
    smoothing_sigma: float
    learning_rate: float = 5e-5
    adam_betas: tuple[float, float] = (0.5, 0.999)
    train_steps: int = 0

    def backbone(self) -> BackboneConfig:
        return BackboneConfig(
            name="case",
            image_size=self.backbone_image_size,
            patch_size=self.patch_size,
            layers=self.vision_layers,
            width=self.vision_width,
            heads=self.vision_heads,
            embed_dim=self.embed_dim,
            text_width=self.text_width,
            text_heads=self.text_heads,
            text_layers=self.text_layers,
            context_length=self.context_length,
            vocab_size=self.vocab_size,
            quick_gelu=self.quick_gelu,
        )

    def method(self) -> FBCLIPConfig:
        return FBCLIPConfig(
            image_size=self.image_size,
            feature_layers=self.feature_layers,
            text=TextConfig(prompt_length=self.prompt_length),
            score=ScoreConfig(
                smoothing_sigma=self.smoothing_sigma,
                layer_weights=max(len(self.feature_layers), ScoreConfig().layer_weights),
            ),
        )


def read_case(folder: Path) -> CaseConfig:
    """case.json of a golden case; raises FbclipError naming the field that is wrong."""
    path = folder / "case.json"
    try:
        return CaseConfig.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        raise FbclipError(f"{path}: {shown_field(first['loc'])}: {first['msg']}") from error
    except (OSError, json.JSONDecodeError) as error:
        raise FbclipError(f"{path}: cannot be read: {error}") from error


def verify(folder: Path, device: str = "cpu") -> list[Deviation]:
    """A compared method's case (`method` in case.json), a forward case (backbone.safetensors) or a preprocess case."""
    peer = peer_case(folder, device)
    if peer is not None:
        return verify_peer(peer)
    if (folder / "backbone.safetensors").is_file():
        return verify_forward(folder, device)
    if (folder / "expected.safetensors").is_file():
        return verify_preprocess(folder)
    raise FbclipError(
        f"{folder}: neither a forward case (backbone.safetensors, or `method` in case.json) nor a preprocess case "
        "(expected.safetensors)"
    )


def verify_forward(folder: Path, device: str) -> list[Deviation]:
    """Every intermediate of a forward case against ours."""
    case = read_case(folder)
    expected = read_safetensors(folder / "case.safetensors")
    with torch.inference_mode():
        actual = forward_tensors(folder, case, expected["image"], device)
    names = [n for n in expected if n != "image" and not n.startswith("train.")]
    missing = sorted(set(names) - actual.keys())
    if missing:
        raise FbclipError(f"{folder}: the case holds tensors that this version does not compute: {missing[:3]}")
    return [Deviation(n, relative_deviation(actual[n].cpu(), expected[n]), FORWARD_TOLERANCE) for n in names]


def forward_tensors(folder: Path, case: CaseConfig, image: Tensor, device: str) -> dict[str, Tensor]:
    """All named tensors of one forward pass over a golden case."""
    state = read_safetensors(folder / "backbone.safetensors")
    backbone = load_backbone(state, case.backbone(), case.image_size).to(device)
    tower = load_text_tower(state, case.backbone()).to(device)
    head, fusion = import_checkpoint(folder / "checkpoint.pth", case.backbone(), case.method())
    head, fusion, image = head.to(device).eval(), fusion.to(device).eval(), image.to(device)

    out: dict[str, Tensor] = {}
    prototypes = fusion(tower)
    tokens = backbone(image, head.config.feature_layers)
    result = head(tokens, prototypes, backbone.projection, out.__setitem__)
    score = head.config.score
    probability = torch.sigmoid(result.grid_margin)
    out |= {f"layer{k}.tokens": t for k, t in enumerate(tokens)}
    out |= {
        "text.token_ids": torch.as_tensor(fusion.ids, dtype=torch.int32),
        "text.prompt_embeddings": fusion.embed(tower),
        "text.prototypes": prototypes,
        "score": torch.sigmoid(result.image_margin),
        "map_grid": probability.unsqueeze(1),
        "map_upsampled": upsample(probability, case.image_size),
        "map_smoothed": smooth_map(probability, case.image_size, score.smoothing_sigma, score.smoothing_truncate),
        "consistency_loss": consistency_loss(
            result.projected, prototypes, score.temperature, head.config.consistency
        ).reshape(1),
    }
    return out


def verify_preprocess(folder: Path) -> list[Deviation]:
    """Every `<png stem>.<size>` tensor against our preprocessing of that image."""
    expected: Mapping[str, Tensor] = read_safetensors(folder / "expected.safetensors")
    rows = []
    for name, tensor in sorted(expected.items()):
        stem, _, size = name.rpartition(".")
        actual = preprocess(read_image(folder / f"{stem}.png").image, int(size))
        if actual.shape != tensor.shape:
            raise FbclipError(f"{folder}: {name} is {tuple(tensor.shape)}, ours is {tuple(actual.shape)}")
        delta = (actual - tensor).abs()
        rows.append(Deviation(name, delta.max().item(), PREPROCESS_MAX, delta.mean().item(), PREPROCESS_MEAN))
    return rows
