"""What is tuned: the frozen backbone, the adapter to start from, and the method, the base's own or a changed one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import ValidationError

from calibrate.tuning.learners import check_learns
from fbclip.artefacts.adapter import Adapter, load_adapter
from fbclip.artefacts.generation import weights_for
from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.tower import Backbone
from fbclip.backbone.weights import EMBEDDED_DIR, open_backbone
from fbclip.errors import ConfigError
from fbclip.frozen import shown_field
from fbclip.method.config import FBCLIPConfig
from fbclip.method.defaults import method_for
from fbclip.method.model import Head
from fbclip.method.text import TextTower, load_text_tower
from fbclip.peers.config import FBCLIP, PeerConfig, peer_config
from fbclip.runtime import pick_device

MAX_METHOD_BYTES = 1 << 16
MODULES: Mapping[str, Mapping[str, Any]] = {
    "mstff": {"modules": {"mstff": False}},
    "mvfbe": {"modules": {"mvfbe": False}},
    "background-subtraction": {"modules": {"background_subtraction": False}},
    "scr": {"consistency": {"weight": 0.0}},
    "contrast": {"contrast": {"weight": 0.0}},
}
"""What can be switched off: the paper's ablation table, and contrast, which is ours."""


@dataclass(frozen=True)
class ModelRequest:
    """What to tune. base: folder of the adapter to start from and to compare with; by default the embedded one.

    learner: the method, FB-CLIP or one that it is compared with, which has no adapter to start from by default.

    from_scratch: start from fresh parameters, a base is only compared with. method: a YAML file with fields of the
    method to change; without: modules to switch off, keys of MODULES. trust: weights whose sha256 nobody states are
    taken as they are, where no base names them.
    """

    backbone: str = "embedded"
    weights: Path | None = None
    device: str = "auto"
    base: Path | None = None
    from_scratch: bool = False
    method: Path | None = None
    without: tuple[str, ...] = ()
    trust: bool = False
    learner: str = FBCLIP

    @property
    def base_folder(self) -> Path | None:
        """The adapter to start from or to compare with; from scratch there need not be one."""
        if self.base is not None or self.from_scratch or self.learner != FBCLIP:
            return self.base
        if self.backbone == "embedded":
            return EMBEDDED_DIR / "adapter"
        raise ConfigError(f"backbone {self.backbone}: name an adapter to start from with --from, or add --from-scratch")


@dataclass(frozen=True, eq=False)
class TuningModel:
    """The frozen parts on one device, the method to tune, and the adapter to start from and to compare with."""

    backbone: Backbone
    backbone_sha256: str
    tower: TextTower
    method: FBCLIPConfig | PeerConfig
    base: Adapter | None
    from_scratch: bool = False
    trusted: bool = False
    """Whether the weights were taken on trust, by this adapter or by the one it goes on from."""

    @property
    def start(self) -> Adapter | None:
        """The adapter to start from."""
        return None if self.from_scratch else self.base


def open_model(request: ModelRequest) -> TuningModel:
    """Read and check everything. Raises ConfigError, WeightsError or AdapterError, naming the file or the option."""
    device = pick_device(request.device)
    folder = request.base_folder
    file = weights_for(request.backbone, request.weights, folder)
    base = None if folder is None else load_adapter(folder)
    # An adapter to start from names the tensors; without one nobody does.
    file = file if base is not None else file.known(request.trust)
    trusted = file.trusted if base is None else base.manifest.weights_trusted is True
    method = _method(request, file.config, None if request.from_scratch else base)
    backbone, digest = open_backbone(file, method.image_size)
    if base is not None and base.manifest.backbone_sha256 != digest:
        raise ConfigError(f"--from {folder}: was tuned on other weights than those of backbone {request.backbone}")
    if base is not None and base.manifest.image_size != method.image_size:
        raise ConfigError(
            f"--from {folder}: is for {base.manifest.image_size} px and cannot be compared at "
            f"{method.image_size} px; leave it out with --from-scratch, or keep image_size"
        )
    tower = load_text_tower(file.all(), file.config).to(device)
    return TuningModel(backbone.to(device), digest, tower, method, base, request.from_scratch, trusted)


def _method(request: ModelRequest, backbone: BackboneConfig, start: Adapter | None) -> FBCLIPConfig | PeerConfig:
    """The numbers of the asked method: those of the adapter to start from, or the published ones, changed or not."""
    check_learns(request.learner)
    if request.learner == FBCLIP:
        own = method_for(backbone) if start is None else start.manifest.fbclip
        method = changed_method(own, request.method, request.without)
        check_runs(method, backbone.patch_size, backbone.layers)
        return method
    if request.method is not None or request.without:
        raise ConfigError(f"--method {request.learner}: --without and fields of the method are {FBCLIP}'s")
    if start is None:
        return peer_config(request.learner, backbone)
    if start.manifest.peer is None or start.manifest.peer.name != request.learner:
        raise ConfigError(f"--from: the adapter is of method {start.manifest.method_name}, not of {request.learner}")
    return start.manifest.peer


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
        field = shown_field(first["loc"]) or "the method"
        raise ConfigError(f"{file or '--without'}: {field}: {first['msg']}") from error


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
