"""Makes the compact golden case beside it: `python -m tests.golden.make_golden`.

Tiny random weights; the numbers come from the plain float64 formulas of tests/fbclip/plain.py, not from the
shipped fast forms.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from fbclip.artefacts.checkpoint import checkpoint_name
from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.tower import load_backbone
from fbclip.method.config import FBCLIPConfig, TextConfig
from fbclip.method.maps import upsample
from fbclip.method.model import Head
from fbclip.method.text import PromptFusion, TextTower, load_text_tower
from tests.factories import plain_formulas as plain

HERE = Path(__file__).parent / "tiny4"
CASE = {
    "image_size": 56,
    "backbone_image_size": 28,
    "vision_layers": 3,
    "vision_width": 16,
    "vision_heads": 2,
    "patch_size": 14,
    "text_width": 16,
    "text_heads": 2,
    "text_layers": 1,
    "embed_dim": 24,
    "context_length": 77,
    "vocab_size": 49408,
    "quick_gelu": True,
    "feature_layers": [1, 2, 3],
    "prompt_length": 12,
    "learning_rate": 5e-05,
    "adam_betas": [0.5, 0.999],
    "train_steps": 0,
    "smoothing_sigma": 4,
}
BACKBONE_FIELDS = {
    "image_size": "backbone_image_size",
    "layers": "vision_layers",
    "width": "vision_width",
    "heads": "vision_heads",
}


def backbone_config() -> BackboneConfig:
    own = {f: CASE[BACKBONE_FIELDS.get(f, f)] for f in BackboneConfig.model_fields if BACKBONE_FIELDS.get(f, f) in CASE}
    return BackboneConfig(name="case", **own)


def main() -> None:
    torch.manual_seed(20)
    config = backbone_config()
    method = FBCLIPConfig(
        image_size=CASE["image_size"],
        feature_layers=tuple(CASE["feature_layers"]),
        text=TextConfig(prompt_length=CASE["prompt_length"]),
    )
    fusion, head, tower = PromptFusion(config, method.text), Head(config.width, method), TextTower(config)
    rows = fusion.ids.unique().int()
    state = {k: torch.randn_like(v) * 0.2 for k, v in tower.state_dict().items() if "token_emb" not in k}
    state |= {"token_embedding.rows": rows, "token_embedding.values": torch.randn(len(rows), config.text_width) * 0.2}
    visual = _random_visual(config)
    state |= {f"visual.{k}": v for k, v in visual.items()}
    with torch.no_grad():
        for parameter in (*head.parameters(), *fusion.parameters()):
            parameter.add_(torch.randn_like(parameter) * 0.2)
    HERE.mkdir(exist_ok=True)
    save_file(state, HERE / "backbone.safetensors")
    trainable = {checkpoint_name(k): v.data for k, v in head.named_parameters()}
    trainable |= {checkpoint_name(k): v.data for k, v in fusion.named_parameters() if "context" not in k}
    prompts = {checkpoint_name(k): v.data[None, None] for k, v in fusion.named_parameters() if "context" in k}
    torch.save({"prompt_learner": prompts, "model_trainable_params": trainable}, HERE / "checkpoint.pth")
    (HERE / "case.json").write_text(json.dumps(CASE, indent=1) + "\n", encoding="utf-8")

    image = torch.randn(2, 3, CASE["image_size"], CASE["image_size"])
    expected = _expected(state, config, head.double(), fusion.double(), image.double())
    save_file({"image": image} | {k: v.float().contiguous() for k, v in expected.items()}, HERE / "case.safetensors")


def _random_visual(config: BackboneConfig) -> dict[str, torch.Tensor]:
    from fbclip.backbone.tower import Backbone

    shapes = Backbone(config, config.image_size).visual.state_dict()
    return {k: torch.randn_like(v) * 0.2 + (1.0 if k.endswith("ln_pre.weight") else 0.0) for k, v in shapes.items()}


@torch.no_grad()
def _expected(state, config, head, fusion, image) -> dict[str, torch.Tensor]:
    backbone = load_backbone(state, config, CASE["image_size"]).double()
    tower = load_text_tower(state, config).double()
    prototypes = fusion(tower)
    layers = backbone(image, CASE["feature_layers"])
    out = {f"layer{k}.tokens": t for k, t in enumerate(layers)}
    for k, layer in enumerate(layers):
        previous = layers[k - 1] if k else None
        masks = [plain.foreground(t, None if previous is None else previous[i]) for i, t in enumerate(layer)]
        out[f"layer{k}.foreground_mask"] = torch.stack(masks)
        views = {
            "semantic": torch.stack([plain.semantic(t, p) for t, p in zip(layer, masks, strict=True)]),
            "spatial": torch.stack([plain.spatial(t, p) for t, p in zip(layer, masks, strict=True)]),
        }
        out |= {f"layer{k}.{name}_view": view for name, view in views.items()}
        for name, view in {"identity": layer, **views}.items():
            out[f"layer{k}.attended_{name}"] = torch.stack([plain.attention(t, head.attention) for t in view])
    rows = [
        plain.probabilities(head, [t[i] for t in layers], prototypes, backbone.projection.double())
        for i in range(len(image))
    ]
    probability = torch.stack(rows)
    side = round((probability.shape[1] - 1) ** 0.5)
    grid = probability[:, 1:].reshape(len(image), side, side)
    out |= {"text.prototypes": prototypes, "score": probability[:, 0], "map_grid": grid[:, None]}
    out["map_upsampled"] = upsample(grid, CASE["image_size"])
    return out


if __name__ == "__main__":
    main()
