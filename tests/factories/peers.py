"""A tiny CLIP with both towers and CLIP's whole vocabulary, known to open_clip by a name as a real one is."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor

from fbclip.backbone.catalog import backbone_config
from fbclip.backbone.tower import VISUAL_PREFIX, Backbone
from fbclip.backbone.weights import WeightsFile
from fbclip.files import file_sha256
from fbclip.method.text import TextTower
from fbclip.peers.config import AfClipConfig, AnomalyClipConfig, FaPromptConfig, peer_config

NAME = "tiny-peers"
_MODEL = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 104, "layers": 4, "width": 16, "head_width": 8, "patch_size": 26},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 12, "heads": 2, "layers": 3},
}


def tiny_clip(folder: Path) -> WeightsFile:
    """Weights beside their digest in `folder`, of a backbone that commands open as `--backbone tiny-peers`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{NAME}.json").write_text(json.dumps(_MODEL))
    open_clip.add_model_config(folder / f"{NAME}.json")
    config = backbone_config(NAME)
    torch.manual_seed(3)
    state = {f"{VISUAL_PREFIX}{k}": v for k, v in Backbone(config, config.image_size).visual.state_dict().items()}
    state |= TextTower(config).state_dict()
    path = folder / f"{NAME}.safetensors"
    save_file({name: torch.randn_like(value) * 0.3 for name, value in state.items()}, path)
    path.with_name(f"{path.name}.sha256").write_text(file_sha256(path) + "\n")
    return WeightsFile(config, path, file_sha256(path))


def anomaly_checkpoint(path: Path) -> Path:
    """AnomalyCLIP's released format, for the tiny CLIP."""
    config = peer_config("anomalyclip", backbone_config(NAME))
    assert isinstance(config, AnomalyClipConfig)
    stored = {"ctx_pos": _rows(1, 1, 12, 12), "ctx_neg": _rows(1, 1, 12, 12), "token_prefix_pos": _rows(1, 1, 1, 12)}
    stored |= {f"compound_prompts_text.{n}": _rows(4, 12) for n in range(8)}
    stored |= {"compound_prompt_projections.0.weight": _rows(896, 12), "compound_prompt_projections.0.bias": _rows(896)}
    torch.save({"prompt_learner": stored}, path)
    return path


def af_checkpoint(folder: Path) -> Path:
    """AF-CLIP's two files, the second as a dictionary; returns the first."""
    assert isinstance(peer_config("afclip", backbone_config(NAME)), AfClipConfig)
    torch.save(torch.nn.Parameter(_rows(1, 12, 12)), folder / "visa_prompt.pt")
    adaptor = {f"attention.attn.to_{n}.weight": _rows(512, 16) for n in "qkv"}
    adaptor |= {"attention.attn.to_out.0.weight": _rows(16, 512), "attention.attn.to_out.0.bias": _rows(16)}
    adaptor |= {"attention.norm.weight": _rows(16), "attention.norm.bias": _rows(16)}
    torch.save(adaptor, folder / "visa_adaptor.pt")
    return folder / "visa_prompt.pt"


def fa_checkpoint(path: Path) -> Path:
    """FAPrompt's format, for the tiny CLIP: ten prompts, ten patches."""
    assert isinstance(peer_config("faprompt", backbone_config(NAME)), FaPromptConfig)
    stored = {"ctx_pos": _rows(1, 1, 5, 12), "ctx_neg": _rows(1, 10, 2, 12)}
    stored |= {"patch_meta_net.linear1.weight": _rows(6, 120), "patch_meta_net.linear1.bias": _rows(6)}
    stored |= {"patch_meta_net.linear2.weight": _rows(12, 6), "patch_meta_net.linear2.bias": _rows(12)}
    stored |= {f"compound_prompts_text.{n}": _rows(4, 12) for n in range(2)}
    torch.save({"prompt_learner": stored}, path)
    return path


def linear_checkpoint(path: Path) -> Path:
    """CLIP-AD's linear layers, for the tiny CLIP."""
    stored = {f"fc.{n}.weight": _rows(12, 16) for n in range(4)} | {f"fc.{n}.bias": _rows(12) for n in range(4)}
    torch.save({"linear_layers": stored}, path)
    return path


def _rows(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))
