"""Tiny real models for tests: random weights, real code paths."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import torch

from fbclip.artefacts.adapter import Adapter, AdapterManifest
from fbclip.artefacts.profile import Calibration, Profile
from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.tower import Backbone
from fbclip.decision import Statistic
from fbclip.detector import Detector
from fbclip.engines.torch_engine import TorchEngine
from fbclip.files import tensors_sha256
from fbclip.memory.bank import Memory, MemoryManifest
from fbclip.memory.features import MemoryConfig
from fbclip.memory.fusion import Fusion, TermScale
from fbclip.memory.whitening import fit_whitening
from fbclip.method.config import AttentionConfig, FBCLIPConfig
from fbclip.method.model import Head

TINY = BackboneConfig(
    name="embedded", image_size=32, patch_size=8, layers=3, width=16, heads=2, embed_dim=12, text_width=8, text_heads=1
)
TINY_METHOD = FBCLIPConfig(image_size=32, feature_layers=(1, 3), attention=AttentionConfig(heads=2, head_width=4))


def tiny_backbone() -> tuple[Backbone, str]:
    """Random frozen backbone of the TINY shape and its digest."""
    torch.manual_seed(1)
    backbone = Backbone(TINY, TINY_METHOD.image_size).requires_grad_(False).eval()
    named = {f"visual.{k}": v for k, v in backbone.visual.state_dict().items()}
    return backbone, tensors_sha256(named)


def tiny_adapter(seed: int, method: FBCLIPConfig = TINY_METHOD) -> Adapter:
    """Random adapter for the tiny backbone."""
    _, digest = tiny_backbone()
    torch.manual_seed(seed)
    head = Head(TINY.width, method)
    tensors = {f"head.{k}": torch.randn_like(v) * 0.3 for k, v in head.state_dict().items()}
    prototypes = torch.nn.functional.normalize(torch.randn(2, TINY.embed_dim), dim=-1)
    manifest = AdapterManifest(backbone=TINY, backbone_sha256=digest, method=method)
    return Adapter(manifest, tensors, prototypes)


def tiny_detector(memories: Sequence[Memory] = ()) -> Detector:
    """The tiny backbone with two adapters, on the CPU."""
    backbone, digest = tiny_backbone()
    engine = TorchEngine(backbone, digest, [tiny_adapter(2), tiny_adapter(3)], torch.device("cpu"))
    return Detector(engine, memories)


def unit_rows(*shape: int) -> torch.Tensor:
    """Random vectors of length 1 along the last axis."""
    return torch.nn.functional.normalize(torch.randn(*shape), dim=-1)


def tiny_memory(seed: int = 0, count: int = 40, **changes: Any) -> Memory:
    """Random memory for the tiny backbone: 4 x 4 patches of 16 numbers a layer; fields of manifest and config."""
    asked = {name: changes.pop(name) for name in ("layers", "reach", "metric") if name in changes}
    config = MemoryConfig(**({"layers": (1, 2)} | asked))
    values = {"backbone": "embedded", "backbone_sha256": tiny_backbone()[1], "image_size": 32, "config": config}
    torch.manual_seed(seed)
    positions = torch.cat((torch.cartesian_prod(torch.arange(4), torch.arange(4)), torch.randint(4, (count, 2))))
    width = TINY.width * len(config.layers)
    tokens = unit_rows(count, width).half()
    whitening = fit_whitening(torch.randn(60, width)) if config.metric == "mahalanobis" else None
    return Memory(MemoryManifest(**(values | changes)), tokens, positions[:count].to(torch.int16), whitening)


def tiny_fusion(use: Literal["memory", "fused"] = "fused", share: float = 0.3) -> Fusion:
    """A fusion whose image and map have different shares and scales."""
    return Fusion(
        use=use,
        image_share=1 if use == "memory" else share,
        map_share=1 if use == "memory" else share / 2,
        zero_shot_image=TermScale(centre=0.5, spread=2),
        memory_image=TermScale(centre=0.7, spread=0.05),
        zero_shot_map=TermScale(centre=-0.2, spread=1.5),
        memory_map=TermScale(centre=0.6, spread=0.1),
    )


def tiny_profile(**changes: Any) -> Profile:
    """A profile of a line `belt` at 32 px, with any fields changed."""
    calibration = Calibration(
        method="order-statistic", unit="file", n_good=1, n_constants=1, target=0.1, confidence=0.9,
        guarantee=None, quantiles={}, data_sha256="0" * 64,
    )  # fmt: skip
    values = {
        "line": "belt", "created": datetime(2026, 1, 1, tzinfo=UTC), "adapter": "a", "backbone": "embedded",
        "backbone_sha256": "b", "device": "cpu", "size": 32, "smoothing": 1.0, "min_area_px": 4,
        "statistic": Statistic(a=0, b=1, a2=0, b2=1), "threshold": 0.0, "uncertain_above": None,
        "map_limits": (-1.0, 1.0), "calibration": calibration,
    }  # fmt: skip
    return Profile(**(values | changes))


def tokens_and_mask(side: int, width: int, seed: int, kind: str, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Random tokens (B,1+side²,width) and their mask (B,side²): mixed, all ones or all halves; float64."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(batch, 1 + side * side, width, generator=generator, dtype=torch.float64) * 3
    mask = torch.where(torch.rand(batch, side * side, generator=generator) > 0.5, 1.0, 0.5).double()
    if kind == "ones":
        mask = torch.ones_like(mask)
    if kind == "halves":
        mask = torch.full_like(mask, 0.5)
    return tokens, mask
