"""Head and prompts: where their parameters come from, and how they become an adapter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from fbclip.artefacts.adapter import Adapter, AdapterManifest
from fbclip.artefacts.checkpoint import import_checkpoint
from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.tower import load_strictly
from fbclip.backbone.weights import WeightsFile, open_backbone
from fbclip.errors import AdapterError, ConfigError, WeightsError
from fbclip.files import file_sha256
from fbclip.method.config import FBCLIPConfig
from fbclip.method.defaults import method_for
from fbclip.method.model import Head
from fbclip.method.text import PromptFusion, load_text_tower


@dataclass(frozen=True, eq=False)
class LearnedModules:
    """What tuning learns; everything else is frozen. Parameters are named as in an adapter, `head.*`, `prompts.*`."""

    head: Head
    prompts: PromptFusion

    def parameters(self) -> list[nn.Parameter]:
        return [*self.head.parameters(), *self.prompts.parameters()]

    def to(self, device: torch.device) -> LearnedModules:
        """The same modules, moved."""
        return LearnedModules(self.head.to(device), self.prompts.to(device))

    def tensors(self) -> dict[str, Tensor]:
        """Copies on the CPU, by name."""
        return {
            f"{prefix}{name}": value.detach().cpu().clone()
            for prefix, module in self._named()
            for name, value in module.state_dict().items()
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `tensors`; raises RuntimeError for tensors of other names or shapes."""
        for prefix, module in self._named():
            module.load_state_dict(below(tensors, prefix), strict=True)

    def load_adapter(self, adapter: Adapter) -> None:
        """Take an adapter's parameters; raises WeightsError when they do not fit."""
        for prefix, module in self._named():
            own = {name: value.clone() for name, value in below(adapter.tensors, prefix).items()}
            load_strictly(module, own, f"adapter {adapter.id[:12]}")
            module.requires_grad_(True)

    def _named(self) -> tuple[tuple[str, nn.Module], ...]:
        return ("head.", self.head), ("prompts.", self.prompts)


@dataclass(frozen=True, eq=False)
class Tuned:
    """Head and prompts after training, on the CPU, and the prototypes (2,D) that the prompts give."""

    learned: LearnedModules
    prototypes: Tensor

    def adapter(
        self, backbone_sha256: str, backbone: BackboneConfig, provenance: Mapping[str, object], trusted: bool = False
    ) -> Adapter:
        """The result as an adapter bound to the weights it was tuned on, which may have been taken on trust."""
        manifest = AdapterManifest(
            backbone=backbone,
            backbone_sha256=backbone_sha256,
            method=self.learned.head.config,
            provenance=provenance,
            weights_trusted=True if trusted else None,
        )
        return Adapter(manifest, self.learned.tensors(), self.prototypes.detach().clone())


def fresh(backbone: BackboneConfig, method: FBCLIPConfig) -> LearnedModules:
    """Random parameters, from torch's seed."""
    return LearnedModules(Head(backbone.width, method), PromptFusion(backbone, method.text, method.modules.mstff))


def start_from(base: Adapter, method: FBCLIPConfig) -> LearnedModules:
    """Trainable copies of an adapter's parameters under `method`.

    Raises ConfigError when they do not fit it, AdapterError when the adapter holds none for the prompts.
    """
    if not below(base.tensors, "prompts."):
        raise AdapterError(f"adapter {base.id[:12]} holds no prompts to go on from; use --from-scratch")
    learned = fresh(base.manifest.backbone, method)
    try:
        learned.load_adapter(base)
    except WeightsError as error:
        raise ConfigError(f"{error}: its parameters do not fit this method; add --from-scratch") from error
    return learned


def import_adapter(checkpoint: Path, weights: WeightsFile) -> Adapter:
    """The authors' checkpoint as an adapter bound to the backbone it was tuned on.

    Prototypes are computed once here, so the text tower is not needed at run time. Raises AdapterError when the
    checkpoint is of another kind or does not fit the backbone.
    """
    method = method_for(weights.config)
    learned = LearnedModules(*import_checkpoint(checkpoint, weights.config, method))
    _, digest = open_backbone(weights, method.image_size)
    with torch.no_grad():
        prototypes = learned.prompts(load_text_tower(weights.all(), weights.config))
    provenance = {"imported_from_sha256": file_sha256(checkpoint), "imported_from": checkpoint.name}
    return Tuned(learned, prototypes).adapter(digest, weights.config, provenance, weights.trusted)


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin with `prefix`, which is cut off."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
