"""Released checkpoints of the learned methods -> our modules, read without running any code in them.

AF-CLIP's release is two files, `*_prompt.pt` and `*_adaptor.pt`. The second is a pickled module, which is never opened:
it has to be converted once, where nothing is at stake, by `torch.save(module.state_dict(), path)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.tensor_file import read_tensor_file
from fbclip.backbone.tower import load_strictly
from fbclip.errors import AdapterError, WeightsError
from fbclip.peers.afclip import AfLearned
from fbclip.peers.anomalyclip import AnomalyPrompts
from fbclip.peers.clipad import LinearLayers
from fbclip.peers.config import AfClipConfig, AnomalyClipConfig, ClipAdConfig, FaPromptConfig
from fbclip.peers.faprompt import FinePrompts

_DEEP = "compound_prompts_text."
# Stored by the releases: dead weights, and what follows from the backbone.
_UNUSED = ("compound_prompt_projections.", "token_prefix_", "token_suffix_", "tokenized_prompts_")
_ADAPTOR_NAMES = {"attention.attn.to_out.0.": "to_out.", "attention.attn.": "", "attention.": ""}

M = TypeVar("M", bound=nn.Module)


def read_peer_checkpoint(path: Path) -> dict[str, Tensor]:
    """Every tensor by its path in the file, `prompt_learner.ctx_pos`; raises AdapterError for any other content."""
    stored = read_tensor_file(path)
    if isinstance(stored, Tensor):
        return {"state_prompt_embedding": stored.detach(), **_adaptor_beside(path)}
    found = _flat(stored) if isinstance(stored, Mapping) else {}
    if not found:
        raise AdapterError(f"{path}: holds no tensors by name")
    return found


def _adaptor_beside(prompt: Path) -> dict[str, Tensor]:
    path = prompt.with_name(prompt.name.replace("_prompt", "_adaptor"))
    if path == prompt or not path.is_file():
        raise AdapterError(f"{prompt}: holds the prompt of AF-CLIP alone; its *_adaptor.pt is not beside it")
    try:
        return {f"adaptor.{name}": value for name, value in read_peer_checkpoint(path).items()}
    except AdapterError as error:
        raise AdapterError(
            f"{path}: is no file of tensors only; the release is a pickled module, which could run any code: in a "
            "sandbox, load it and torch.save its state_dict() under this name"
        ) from error


def _flat(stored: Mapping[object, object], prefix: str = "") -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    for key, value in stored.items():
        if isinstance(value, Tensor):
            out[f"{prefix}{key}"] = value.detach()
        elif isinstance(value, Mapping) and prefix.count(".") < 3:
            out |= _flat(value, f"{prefix}{key}.")
    return out


def peer_of(tensors: Mapping[str, Tensor]) -> str | None:
    """Which method a checkpoint is of, by its names; None where it is none of these."""
    if "state_prompt_embedding" in tensors:
        return "afclip"
    if any(name.startswith("linear_layers.") for name in tensors):
        return "clipad"
    if "prompt_learner.patch_meta_net.linear1.weight" in tensors:
        return "faprompt"
    others = any(name.startswith("model_trainable_params.") for name in tensors)
    return "anomalyclip" if "prompt_learner.ctx_pos" in tensors and not others else None


def anomaly_prompts(
    tensors: Mapping[str, Tensor], path: Path, backbone: BackboneConfig, config: AnomalyClipConfig
) -> tuple[AnomalyPrompts, AnomalyClipConfig]:
    """The prompts and `config` with the lengths that the file has. Raises AdapterError."""
    own = _below(tensors, "prompt_learner.", path)
    deep = [v for k, v in own.items() if k.startswith(_DEEP)]
    config = config.model_copy(
        update={
            "prompt_length": _size(own, "ctx_pos", -2, path),
            "deep_prompts": len(deep),
            "deep_prompt_length": deep[0].shape[0] if deep and deep[0].ndim else config.deep_prompt_length,
        }
    )
    return _filled(AnomalyPrompts(backbone, config), own, path), config


def fine_prompts(
    tensors: Mapping[str, Tensor], path: Path, backbone: BackboneConfig, config: FaPromptConfig
) -> tuple[FinePrompts, FaPromptConfig]:
    """As `anomaly_prompts`."""
    own = _below(tensors, "prompt_learner.", path)
    deep = [v for k, v in own.items() if k.startswith(_DEEP)]
    inputs = _size(own, "patch_meta_net.linear1.weight", 1, path)
    if inputs % backbone.embed_dim:
        raise AdapterError(f"{path}: patch_meta_net.linear1.weight takes {inputs} numbers, no multiple of the backbone")
    config = config.model_copy(
        update={
            "normal_tokens": _size(own, "ctx_pos", -2, path),
            "abnormal_tokens": _size(own, "ctx_neg", -2, path),
            "abnormal_prompts": _size(own, "ctx_neg", -3, path),
            "prior_tokens": inputs // backbone.embed_dim,
            "prior_width": _size(own, "patch_meta_net.linear1.weight", 0, path),
            "deep_prompts": len(deep),
            "deep_prompt_length": deep[0].shape[0] if deep and deep[0].ndim else config.deep_prompt_length,
        }
    )
    return _filled(FinePrompts(backbone, config), own, path), config


def af_learned(
    tensors: Mapping[str, Tensor], path: Path, backbone: BackboneConfig, config: AfClipConfig
) -> tuple[AfLearned, AfClipConfig]:
    """As `anomaly_prompts`; the heads stay 64 wide, as the release has them, unless `config` says otherwise."""
    own = {}
    for name, value in _below(tensors, "adaptor.", path).items():
        stored = next((old for old in _ADAPTOR_NAMES if name.startswith(old)), None)
        own[f"adapter.{name if stored is None else _ADAPTOR_NAMES[stored] + name.removeprefix(stored)}"] = value
    own["prompt.state_prompt_embedding"] = tensors["state_prompt_embedding"]
    inner = _size(own, "adapter.to_q.weight", 0, path)
    if inner % config.adapter_head_width:
        raise AdapterError(
            f"{path}: attention.attn.to_q.weight gives {inner} numbers, no multiple of {config.adapter_head_width}"
        )
    config = config.model_copy(
        update={
            "prompt_length": _size(own, "prompt.state_prompt_embedding", -2, path),
            "adapter_heads": inner // config.adapter_head_width,
        }
    )
    return _filled(AfLearned(backbone, config), own, path), config


def linear_layers(
    tensors: Mapping[str, Tensor], path: Path, backbone: BackboneConfig, config: ClipAdConfig
) -> tuple[LinearLayers, ClipAdConfig]:
    """As `anomaly_prompts`."""
    own = _below(tensors, "linear_layers.", path)
    module = LinearLayers(backbone.width, backbone.embed_dim, len(config.feature_layers))
    return _filled(module, own, path), config.model_copy(update={"linear": True})


def _below(tensors: Mapping[str, Tensor], prefix: str, path: Path) -> dict[str, Tensor]:
    found = {
        name.removeprefix(prefix): value.float()
        for name, value in tensors.items()
        if name.startswith(prefix) and not name.removeprefix(prefix).startswith(_UNUSED)
    }
    if not found:
        raise AdapterError(f"{path}: {prefix.rstrip('.')} is missing or holds no tensors")
    return found


def _size(tensors: Mapping[str, Tensor], name: str, axis: int, path: Path) -> int:
    value = tensors.get(name)
    if value is None or value.ndim < abs(axis) + (axis >= 0):
        raise AdapterError(f"{path}: {name} is missing or of another form")
    return int(value.shape[axis])


def _filled(module: M, tensors: Mapping[str, Tensor], path: Path) -> M:
    try:
        load_strictly(module, dict(tensors), "checkpoint")
    except WeightsError as error:
        raise AdapterError(f"{path}: {error}") from error
    return module.requires_grad_(True)
