"""Makes the compact golden cases of the compared methods beside it: `python -m tests.golden.make_peers`.

Tiny random weights; the numbers come from the plain float64 formulas of tests/factories/plain_peers.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from open_clip import SimpleTokenizer
from safetensors.torch import save_file

from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.tower import Backbone
from fbclip.method.text import TextTower
from fbclip.peers.prompts import clipad_prompts, ensemble_prompts, plain_prompts, winclip_prompts
from tests.factories import plain_peers as plain

HERE = Path(__file__).parent / "peers"
SHAPE = {
    "backbone_image_size": 32, "patch_size": 8, "vision_layers": 4, "vision_width": 16, "vision_heads": 2,
    "text_width": 12, "text_heads": 3, "text_layers": 3, "embed_dim": 12, "context_length": 77, "vocab_size": 49408,
}  # fmt: skip
OWN = {
    "vanilla": {"image_size": 40, "quick_gelu": True, "smoothing_sigma": 4, "class_name": "metal_nut"},
    "clipad": {
        "image_size": 32, "quick_gelu": False, "feature_layers": [1, 2, 3, 4], "class_name": "screw",
        "smoothing_sigma": 8, "dbscan": {"eps": 2.5, "min_samples": 15}, "text_dbscan_tolerance": 1e-3,
        "tolerance": 5e-5,
    },
    "winclip": {"image_size": 32, "quick_gelu": False, "scales": [2, 3], "class_name": "hazelnut",
                "tolerance": 5e-5},
    "anomalyclip": {
        "image_size": 40, "quick_gelu": True, "prompt_length": 12, "deep_prompt_depth": 3, "deep_prompt_length": 4,
        "dual_blocks": 3, "feature_layers": [1, 2, 3, 4], "smoothing_sigma": 4,
    },
    "afclip": {
        "image_size": 40, "quick_gelu": True, "prompt_length": 12, "feature_layers": [1, 2, 3, 4],
        "memory_layers": [1, 2, 3, 4], "neighbourhoods": [1, 3, 5], "aggregation_sigma": 4.0, "alpha": 0.1,
        "adapter_heads": 2, "adapter_head_width": 4, "smoothing_sigma": 4, "tolerance": 5e-5,
    },
    "faprompt": {
        "image_size": 40, "quick_gelu": True, "normal_tokens": 5, "abnormal_tokens": 2, "abnormal_prompts": 10,
        "prior_tokens": 10, "deep_prompt_depth": 3, "deep_prompt_length": 4, "dual_blocks": 3, "smoothing_sigma": 10,
    },
}  # fmt: skip
# Where numbers nearly cancel, float32 itself is off by more than 1e-5: logits that are summed, distances near 0.
# Enough of a case's tensors to find where ours would part from it; the rest follow from them.
KEPT_LAYERS = ("layer1.", "layer4.")


def words() -> list[str]:
    """Every prompt of every case."""
    fixed = [ensemble_prompts("metal_nut"), plain_prompts("metal_nut"), clipad_prompts("screw")]
    fixed.append(winclip_prompts("hazelnut"))
    prompts = [p for one in fixed for p in (*one.normal, *one.abnormal)]
    return [*prompts, "X object.", "X damaged object.", "without defect.", "with defect."]


def weights() -> dict[str, torch.Tensor]:
    """Both towers in OpenAI's key names, with those rows of the vocabulary that the prompts use."""
    config = BackboneConfig(name="case", image_size=32, patch_size=8, layers=4, width=16, heads=2, embed_dim=12,
                            text_width=12, text_heads=3, text_layers=3)  # fmt: skip
    state = {f"visual.{k}": v for k, v in Backbone(config, 32).visual.state_dict().items()}
    state |= {k: v for k, v in TextTower(config).state_dict().items() if "token_embedding" not in k}
    rows = torch.as_tensor(SimpleTokenizer()(words(), 77)).unique().int()
    out = {k: torch.randn_like(v) * 0.25 for k, v in state.items()}
    return out | {"token_embedding.rows": rows, "token_embedding.values": torch.randn(len(rows), 12) * 0.25}


def random(*shape: int, scale: float = 0.25) -> torch.Tensor:
    return torch.randn(*shape) * scale


def prompt_learner(name: str) -> dict[str, torch.Tensor]:
    deep = {f"compound_prompts_text.{n}": random(4, 12) for n in range(2)}
    if name == "anomalyclip":
        return {"ctx_pos": random(1, 1, 12, 12), "ctx_neg": random(1, 1, 12, 12), **deep}
    net = {"linear1.weight": random(8, 120), "linear1.bias": random(8), "linear2.weight": random(12, 8)}
    net["linear2.bias"] = random(12)
    return {"ctx_pos": random(1, 1, 5, 12), "ctx_neg": random(1, 10, 2, 12), **deep,
            **{f"patch_meta_net.{k}": v for k, v in net.items()}}  # fmt: skip


def af_learned() -> dict[str, object]:
    adaptor = {f"attention.attn.to_{n}.weight": random(8, 16, scale=1) for n in "qkv"}
    adaptor |= {"attention.attn.to_out.0.weight": random(16, 8), "attention.attn.to_out.0.bias": random(16)}
    adaptor |= {"attention.norm.weight": random(16, scale=1), "attention.norm.bias": random(16)}
    return {"state_prompt_embedding": random(1, 12, 12), "adaptor": adaptor}


def expected(name: str, model: plain.Model, case, image, reference) -> tuple[dict[str, torch.Tensor], object | None]:
    """The numbers of a case, and what was learned, in the released format."""
    if name == "vanilla":
        kinds = {"plain": plain_prompts(case["class_name"]), "ensemble": ensemble_prompts(case["class_name"])}
        prompts = {kind: (list(p.normal), list(p.abnormal)) for kind, p in kinds.items()}
        return plain.vanilla(model, case, image, prompts), None
    if name == "winclip":
        p = winclip_prompts(case["class_name"])
        return plain.winclip(model, case, image, reference, [list(p.normal), list(p.abnormal)]), None
    if name == "clipad":
        p = clipad_prompts(case["class_name"])
        linear = {f"fc.{n}.{k}": random(*s) for n in range(4) for k, s in (("weight", (12, 16)), ("bias", (12,)))}
        found = plain.clipad(model, case, image, [list(p.normal), list(p.abnormal)], linear)
        return found, {"linear_layers": linear}
    if name == "afclip":
        learned = af_learned()
        return plain.afclip(model, case, image, reference, learned), learned
    learned = prompt_learner(name)
    return getattr(plain, name)(model, case, image, learned), {"prompt_learner": learned}


@torch.no_grad()
def main() -> None:
    torch.manual_seed(11)
    HERE.mkdir(exist_ok=True)
    state = weights()
    save_file(state, HERE / "backbone.safetensors")
    for name, own in OWN.items():
        case = {"method": name, "backbone": "../backbone.safetensors", **SHAPE, **own}
        image, reference = (torch.randn(2, 3, own["image_size"], own["image_size"]) for _ in range(2))
        found, learned = expected(name, plain.Model(state, case), case, image, reference)
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        (folder / "case.json").write_text(json.dumps(case, indent=1) + "\n")
        given = {"image": image} | ({"reference": reference} if name in {"winclip", "afclip"} else {})
        kept = {k: v for k, v in found.items() if not k.startswith("layer") or k.startswith(KEPT_LAYERS)}
        tensors = {k: v.float().contiguous().clone() for k, v in kept.items()}
        save_file(given | tensors, folder / "case.safetensors")
        if learned is not None:
            torch.save(learned, folder / "checkpoint.pth")


if __name__ == "__main__":
    main()
