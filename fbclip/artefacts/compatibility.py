"""What adapters and memories must share with the backbone, and a profile with the model, that they would run on."""

from __future__ import annotations

from dataclasses import dataclass

from fbclip.artefacts.adapter import Adapter
from fbclip.artefacts.profile import Profile
from fbclip.backbone.config import BackboneConfig
from fbclip.errors import AdapterError, MemoryBankError
from fbclip.frozen import shown
from fbclip.memory.bank import Memory
from fbclip.memory.features import MemoryConfig, feature_width
from fbclip.memory.index import uncovered
from fbclip.memory.network import FeatureNetwork
from fbclip.peers.config import FBCLIP


@dataclass(frozen=True)
class RunningModel:
    """What would run: compared field by field with what a profile was measured with."""

    adapter: str
    backbone: str
    backbone_sha256: str
    size: int
    device: str
    runtime: str = "torch"
    precision: str = "float32"
    memory: str | None = None
    method: str = FBCLIP
    export: str | None = None


def mismatches(profile: Profile, running: RunningModel) -> list[str]:
    """`field: profile has …, running …` for every field that must be equal; the device type is not one."""
    names = ("method", "adapter", "memory", "backbone", "backbone_sha256", "size", "runtime", "precision", "export")
    pairs = [(name, getattr(profile, name), getattr(running, name)) for name in names]
    return [
        f"{name}: the profile was measured with {_named(measured)}, running is {_named(runs)}"
        for name, measured, runs in pairs
        if measured != runs
    ]


def _named(value: object) -> str:
    return "none" if value is None else shown(value)


def check_adapter(adapter: Adapter, backbone: BackboneConfig, backbone_sha256: str, size: int) -> None:
    """Raises AdapterError where `adapter` was tuned on another backbone, or for another input side than `size`."""
    manifest = adapter.manifest
    name = f"adapter {adapter.id[:12]}"
    if manifest.backbone_sha256 != backbone_sha256:
        raise AdapterError(f"{name} was tuned on other weights of {shown(manifest.backbone.name)} than those loaded")
    if manifest.image_size != size:
        raise AdapterError(f"{name} is for {manifest.image_size} px, the backbone runs at {size} px")
    deepest = max(getattr(manifest.method or manifest.peer, "feature_layers", (1,)))
    if deepest > backbone.layers:
        raise AdapterError(f"{name} reads block {deepest}, the backbone has {backbone.layers}")


def check_memory(memory: Memory, network: FeatureNetwork) -> None:
    """Raises MemoryBankError where `memory` was made with another network, or for another input side."""
    manifest, config = memory.manifest, memory.manifest.config
    name = f"memory {memory.id[:12]}"
    if manifest.backbone_sha256 != network.sha256:
        raise MemoryBankError(
            f"{name} was made with {shown(manifest.backbone)} weights {shown(manifest.backbone_sha256[:12])}, "
            f"loaded are {network.name} weights {network.sha256[:12]}"
        )
    if manifest.image_size != network.image_size:
        raise MemoryBankError(f"{name} is for {manifest.image_size} px, the backbone runs at {network.image_size} px")
    if not set(config.layers) <= network.widths.keys():
        raise MemoryBankError(f"{name}: {missing_layer(config, network)}")
    width = feature_width(config, network)
    if memory.tokens.shape[1] != width:
        raise MemoryBankError(f"{name} has tokens of {memory.tokens.shape[1]} numbers, its layers give {width}")
    if config.reach is not None:
        blind = uncovered(memory.positions, network.grid, config.reach)
        if blind:
            raise MemoryBankError(
                f"{name} has no token within reach {config.reach} of {blind} patches; "
                "make it with more tokens or a longer reach"
            )


def missing_layer(config: MemoryConfig, network: FeatureNetwork) -> str:
    """The first layer of `config` that `network` lacks, and those that it has; one must be missing."""
    missing = min(set(config.layers) - network.widths.keys())
    return f"asks for layer {missing}, {network.name} has {min(network.widths)} to {max(network.widths)}"
