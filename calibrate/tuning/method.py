"""The method to tune with: a base's own, or one changed by a file and by switching modules off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import ValidationError

from fbclip.artefacts.adapter import Adapter
from fbclip.backbone.tower import load_strictly
from fbclip.errors import AdapterError, ConfigError, WeightsError
from fbclip.method.config import FBCLIPConfig
from fbclip.method.model import Head
from fbclip.method.text import PromptFusion

MAX_METHOD_BYTES = 1 << 16
MODULES: Mapping[str, Mapping[str, Any]] = {
    "mstff": {"modules": {"mstff": False}},
    "mvfbe": {"modules": {"mvfbe": False}},
    "background-subtraction": {"modules": {"background_subtraction": False}},
    "scr": {"consistency": {"weight": 0.0}},
    "contrast": {"contrast": {"weight": 0.0}},
}
"""What can be switched off: the paper's ablation table, and contrast, which is ours."""


def changed_method(base: FBCLIPConfig, file: Path | None, without: Sequence[str]) -> FBCLIPConfig:
    """`base` with the fields that a YAML file names, then without the named modules.

    Raises ConfigError naming the file and the field.
    """
    values: dict[str, Any] = base.model_dump()
    if file is not None:
        values = _merged(values, _read(file))
    for name in without:
        if name not in MODULES:
            raise ConfigError(f"--without {name!r} must be one of {', '.join(MODULES)}")
        values = _merged(values, MODULES[name])
    try:
        return FBCLIPConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the method"
        raise ConfigError(f"{file or '--without'}: {field}: {first['msg']}") from error


def start_from(base: Adapter, method: FBCLIPConfig) -> tuple[Head, PromptFusion]:
    """Trainable copies of an adapter's parameters under `method`.

    Raises ConfigError when they do not fit it, AdapterError when the adapter holds none for the prompts.
    """
    backbone = base.manifest.backbone
    head = Head(backbone.width, method)
    fusion = PromptFusion(backbone, method.text, method.modules.mstff)
    if not any(name.startswith("prompts.") for name in base.tensors):
        raise AdapterError(f"adapter {base.id[:12]} holds no prompts to go on from; use --from-scratch")
    for module, prefix in ((head, "head."), (fusion, "prompts.")):
        own = {k.removeprefix(prefix): v.clone() for k, v in base.tensors.items() if k.startswith(prefix)}
        try:
            load_strictly(module, own, f"adapter {base.id[:12]}")
        except WeightsError as error:
            raise ConfigError(f"{error}: its parameters do not fit this method; add --from-scratch") from error
        module.requires_grad_(True)
    return head, fusion


def check_runs(method: FBCLIPConfig, patch: int, layers: int) -> None:
    """Raises ConfigError for a method that a backbone of this patch size and depth cannot run."""
    if method.image_size % patch:
        raise ConfigError(f"image_size {method.image_size} is not a multiple of the patch size {patch}")
    if method.feature_layers[-1] > layers:
        raise ConfigError(f"feature_layers {method.feature_layers}: the backbone has {layers}")
    # One pass over a few random tokens: kernels and windows that do not fit fail here, not after the images.
    tokens = [torch.randn(1, 1 + 7 * 7, 8) for _ in method.feature_layers]
    try:
        with torch.no_grad():
            Head(8, method)(tokens, torch.randn(2, 8), torch.randn(8, 8))
    except RuntimeError as error:
        raise ConfigError(f"the method cannot run: {str(error).splitlines()[0]}") from error


def _read(file: Path) -> Mapping[str, Any]:
    try:
        if file.stat().st_size > MAX_METHOD_BYTES:
            raise ConfigError(f"{file}: larger than {MAX_METHOD_BYTES} bytes")
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{file}: no such file") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{file}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{file}: must hold fields of the method, such as `consistency: {{weight: 0.1}}`")
    return {str(key): value for key, value in raw.items()}


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Groups are merged field by field, everything else is replaced."""
    out = dict(values)
    for key, value in changes.items():
        old = out.get(key)
        out[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return out
