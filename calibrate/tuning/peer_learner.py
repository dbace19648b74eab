"""What the learners of the compared methods share: where their parameters come from, and how they become an adapter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from calibrate.tuning.learner import Learner
from fbclip.artefacts.adapter import Adapter
from fbclip.artefacts.peers import LEARNED, learned_adapter
from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.tower import Backbone, load_strictly
from fbclip.errors import ConfigError, WeightsError
from fbclip.method.text import TextTower
from fbclip.peers.anomalyclip import DualFeatures
from fbclip.peers.config import PeerConfig

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True, eq=False)
class TunedPeer:
    """What a compared method learned, on the CPU, and the tower that its prompts go through."""

    config: PeerConfig
    module: nn.Module
    tower: TextTower

    def adapter(
        self, backbone_sha256: str, backbone: BackboneConfig, provenance: Mapping[str, object], trusted: bool = False
    ) -> Adapter:
        """As an adapter bound to the weights it was tuned on, which may have been taken on trust."""
        return learned_adapter(backbone, backbone_sha256, self.config, self.module, self.tower, provenance, trusted)


class PeerLearner(Learner):
    """`module` holds all that is learned, by the names that an adapter has below `peer.`."""

    def __init__(self, backbone: Backbone, tower: TextTower, config: PeerConfig, module: nn.Module) -> None:
        super().__init__(backbone)
        self.config, self.tower = config, tower
        self.module = module.requires_grad_(True).to(self.device)

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        return {LEARNED: self.module}

    def learned(self) -> TunedPeer:
        cpu = torch.device("cpu")
        return TunedPeer(self.config, self.module.to(cpu).eval(), self.tower.to(cpu))


def dual_features(side: DualFeatures, images: Tensor) -> Tensor:
    """Images -> (B,K,1+L,D), K layers: the image's embedding in the unused place of the class token, and patches."""
    image, patches = side(images)
    rows = [torch.cat((image.unsqueeze(1), layer[:, 1:]), dim=1) for layer in patches.values()]
    return torch.stack(rows, dim=1)


def start_peer(module: M, base: Adapter, config: PeerConfig) -> M:
    """`module` with the parameters of an adapter of the same method. Raises ConfigError where they do not fit."""
    if base.manifest.peer != config:
        raise ConfigError(f"--from: adapter {base.id[:12]} is not of {config.name}, or has other numbers")
    own = {k.removeprefix(LEARNED): v.clone() for k, v in base.tensors.items() if k.startswith(LEARNED)}
    try:
        load_strictly(module, own, f"adapter {base.id[:12]}")
    except WeightsError as error:
        raise ConfigError(f"--from: {error}") from error
    return module
