"""The authors' checkpoint format -> our modules. Section 8 of the method names the keys."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.tensor_file import read_tensor_file
from fbclip.backbone.tower import load_strictly
from fbclip.errors import AdapterError, WeightsError
from fbclip.method.config import FBCLIPConfig
from fbclip.method.model import Head
from fbclip.method.text import PromptFusion

# Stored by the release but never used in its forward pass.
_UNUSED = ("compound_prompts", "layer_selector", "fusion_weights", "gate_network", "weight_net")
_BRANCHES = {"fg": "foreground", "bg": "background"}


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(prompt learner, other parameters) of a .pth file, read without running any code in it."""
    stored = read_tensor_file(path)
    parts = []
    for key in ("prompt_learner", "model_trainable_params"):
        part = stored.get(key) if isinstance(stored, dict) else None
        if not isinstance(part, dict) or not all(isinstance(v, Tensor) for v in part.values()):
            raise AdapterError(f"{path}: not an FB-CLIP checkpoint, {key} is missing or holds no tensors")
        parts.append({k: v.float() for k, v in part.items()})
    return parts[0], parts[1]


def checkpoint_name(own: str) -> str:
    """Our parameter name -> the authors' name, without the prefix of the two groups."""
    parts = own.split(".")
    if parts[0] == "attention":
        parts = parts[1:]
        if parts[0] in _BRANCHES.values():
            short = {v: k for k, v in _BRANCHES.items()}[parts[0]]
            name = f"{short}_{parts[1]}"
            rest = (["0"] if parts[1] == "to_out" else []) + parts[2:]
            return ".".join(["fb_Attention", name, *rest])
        return ".".join(["fb_Attention", *parts])
    renamed = {"context_normal": "ctx_pos", "context_abnormal": "ctx_neg", "selector": "token_selector"}
    renamed["mlp"] = "text_projection_mlp"
    return ".".join([renamed.get(parts[0], parts[0]), *parts[1:]])


def import_checkpoint(path: Path, backbone: BackboneConfig, config: FBCLIPConfig) -> tuple[Head, PromptFusion]:
    """Modules with the checkpoint's parameters; raises AdapterError naming what is missing or of another shape."""
    prompts, trainable = read_checkpoint(path)
    if "scale_weights" not in trainable:
        raise AdapterError(f"{path}: scale_weights is missing: not an FB-CLIP checkpoint")
    if "ctx_pos" not in prompts or prompts["ctx_pos"].ndim < 2:
        raise AdapterError(f"{path}: ctx_pos is missing: not an FB-CLIP checkpoint")
    score = config.score.model_copy(update={"layer_weights": trainable["scale_weights"].numel()})
    text = config.text.model_copy(update={"prompt_length": prompts["ctx_pos"].shape[-2]})
    head = Head(backbone.width, config.model_copy(update={"score": score, "text": text}))
    fusion = PromptFusion(backbone, text, config.modules.mstff)
    stored = {**trainable, **{k: v for k, v in prompts.items() if k in ("ctx_pos", "ctx_neg")}}
    for module in (head, fusion):
        own = {}
        for name, parameter in module.named_parameters():
            key = checkpoint_name(name)
            if key not in stored:
                raise AdapterError(f"{path}: {key} is missing")
            value = stored.pop(key)
            own[name] = value.reshape(parameter.shape) if value.numel() == parameter.numel() else value
        try:
            load_strictly(module, own, "checkpoint")
        except WeightsError as error:
            raise AdapterError(f"{path}: {error}") from error
        module.requires_grad_(True)
    foreign = [k for k in stored if not any(word in k for word in _UNUSED)]
    if any(k.startswith(("fb_Attention.", "token_selector.", "text_projection_mlp.")) for k in foreign):
        raise AdapterError(f"{path}: unexpected parameters {sorted(foreign)[:3]}")
    return head, fusion
