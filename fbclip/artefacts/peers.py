"""Adapters of the methods that FB-CLIP is compared with: made, and opened on a backbone.

Everything that a method needs beside the backbone's image tower is in its adapter: the text's prototypes, what was
learned (`peer.*`), what is remembered of normal images (`bank.*`), and for FAPrompt, which runs it for every image, the
text tower (`tower.*`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from fbclip.artefacts.adapter import Adapter, AdapterManifest
from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.tower import Backbone, load_strictly
from fbclip.backbone.weights import WeightsFile, open_backbone
from fbclip.errors import AdapterError, ConfigError, WeightsError
from fbclip.files import file_sha256
from fbclip.method.text import TextTower, load_text_tower
from fbclip.peers.afclip import AfClip, AfLearned
from fbclip.peers.anomalyclip import AnomalyClip, AnomalyPrompts
from fbclip.peers.checkpoints import (
    af_learned,
    anomaly_prompts,
    fine_prompts,
    linear_layers,
    peer_of,
    read_peer_checkpoint,
)
from fbclip.peers.clipad import ClipAd, LinearLayers, clipad_text
from fbclip.peers.config import (
    BY_CLASS,
    AfClipConfig,
    AnomalyClipConfig,
    ClipAdConfig,
    FaPromptConfig,
    PeerConfig,
    VanillaConfig,
    WinClipConfig,
    peer_config,
)
from fbclip.peers.faprompt import FaPrompt, FinePrompts, prototypes
from fbclip.peers.output import Peer
from fbclip.peers.text import token_ids
from fbclip.peers.vanilla import Vanilla, vanilla_text
from fbclip.peers.winclip import WinClip, winclip_text

M = TypeVar("M", bound=nn.Module)
LEARNED, BANK, TOWER = "peer.", "bank.", "tower."
_REFERENCES_AT_ONCE = 8


def fixed_adapter(weights: WeightsFile, name: str, class_name: str | None) -> Adapter:
    """A method without learned parameters, for one class. Raises ConfigError, WeightsError."""
    config = peer_config(name, weights.config, class_name)
    if name not in BY_CLASS:
        raise ConfigError(
            f"method {name} is learned: `calibrate tune --method {name}` or `calibrate import` it, then name --adapter"
        )
    tower = load_text_tower(weights.all(), weights.config)
    # Opening the tower at the method's size also shows that it fits.
    backbone, digest = open_backbone(weights, config.image_size)
    adapter = _bound(weights.config, digest, config, _fixed_text(config, tower), {}, {}, weights.trusted)
    open_peer(adapter, backbone)
    return adapter


def imported_peer(checkpoint: Path, weights: WeightsFile, class_name: str | None = None) -> Adapter | None:
    """A released checkpoint as an adapter; None where it is of none of these methods.

    class_name: of CLIP-AD, whose prompts name it. Raises AdapterError, ConfigError, WeightsError.
    """
    stored = read_peer_checkpoint(checkpoint)
    name = peer_of(stored)
    if name is None:
        return None
    backbone, config = weights.config, peer_config(name, weights.config, class_name)
    tower = load_text_tower(weights.all(), backbone)
    learned: nn.Module
    if isinstance(config, AnomalyClipConfig):
        learned, config = anomaly_prompts(stored, checkpoint, backbone, config)
    elif isinstance(config, AfClipConfig):
        learned, config = af_learned(stored, checkpoint, backbone, config)
    elif isinstance(config, FaPromptConfig):
        learned, config = fine_prompts(stored, checkpoint, backbone, config)
    elif isinstance(config, ClipAdConfig):
        learned, config = linear_layers(stored, checkpoint, backbone, config)
    else:
        return None
    provenance = {"imported_from_sha256": file_sha256(checkpoint), "imported_from": checkpoint.name}
    # Opening the tower at the method's size also shows that it fits.
    image_tower, digest = open_backbone(weights, config.image_size)
    adapter = learned_adapter(backbone, digest, config, learned, tower, provenance, weights.trusted)
    open_peer(adapter, image_tower)
    return adapter


def learned_adapter(
    backbone: BackboneConfig,
    backbone_sha256: str,
    config: PeerConfig,
    learned: nn.Module,
    tower: TextTower,
    provenance: Mapping[str, object],
    trusted: bool,
) -> Adapter:
    """What was learned, on the CPU, as an adapter for the image tower with this digest."""
    held = _tower_tensors(tower, config) if isinstance(config, FaPromptConfig) else {}
    text, tensors = learned_text(config, learned, tower), {**_learned(learned), **held}
    return _bound(backbone, backbone_sha256, config, text, tensors, provenance, trusted)


@torch.no_grad()
def learned_text(config: PeerConfig, learned: nn.Module, tower: TextTower) -> Tensor:
    """(2,D) [normal, abnormal] of a learned method."""
    if isinstance(learned, AnomalyPrompts):
        return torch.as_tensor(learned(tower))
    if isinstance(learned, AfLearned):
        return torch.as_tensor(learned.prompt(tower))
    if isinstance(learned, FinePrompts):
        return prototypes(learned.normal(tower), learned.abnormal(tower))[0]
    return _fixed_text(config, tower)


def open_peer(adapter: Adapter, backbone: Backbone) -> Peer:
    """The method with an adapter's parameters; raises AdapterError where they do not match its manifest."""
    config = adapter.manifest.peer
    shape, text = backbone.config, adapter.prototypes
    learned, banks = _below(adapter.tensors, LEARNED), _below(adapter.tensors, BANK)
    peer: Peer
    if isinstance(config, VanillaConfig):
        peer = Vanilla(backbone, config, text)
    elif isinstance(config, WinClipConfig):
        peer = WinClip(backbone, config, text, banks)
    elif isinstance(config, ClipAdConfig):
        layers = LinearLayers(shape.width, shape.embed_dim, len(config.feature_layers)) if config.linear else None
        peer = ClipAd(backbone, config, text, None if layers is None else _filled(layers, learned, adapter))
    elif isinstance(config, AnomalyClipConfig):
        peer = AnomalyClip(backbone, config, text)
    elif isinstance(config, AfClipConfig):
        state = _filled(AfLearned(shape, config), learned, adapter).adapter
        peer = AfClip(backbone, config, text, state, banks)
    elif isinstance(config, FaPromptConfig):
        try:
            tower = load_text_tower(_below(adapter.tensors, TOWER), shape)
        except WeightsError as error:
            raise AdapterError(f"adapter {adapter.id[:12]}: {error}") from error
        peer = FaPrompt(backbone, config, _filled(FinePrompts(shape, config), learned, adapter), tower)
    else:
        raise AdapterError(f"adapter {adapter.id[:12]} is of method {adapter.manifest.method_name}")
    return peer.requires_grad_(False).eval()


@torch.inference_mode()
def with_references(adapter: Adapter, backbone: Backbone, references: Tensor, digests: Sequence[str]) -> Adapter:
    """The few-shot form of WinCLIP or AF-CLIP: normal images (K,3,S,S) and their sha256, which may not be judged.

    Raises ConfigError for a method that remembers none.
    """
    peer = open_peer(adapter, backbone)
    if not isinstance(peer, WinClip | AfClip):
        raise ConfigError(f"method {adapter.manifest.method_name} has no few-shot form; leave the normal images out")
    parts = [peer.remember(part) for part in torch.split(references, _REFERENCES_AT_ONCE)]
    banks = {f"{BANK}{name}": torch.cat([part[name] for part in parts]).cpu().clone() for name in parts[0]}
    rest = {name: value for name, value in adapter.tensors.items() if not name.startswith(BANK)}
    known = adapter.manifest.provenance.get("pictures", [])
    provenance = {**adapter.manifest.provenance, "pictures": sorted({*known, *digests})}
    manifest = adapter.manifest.model_copy(update={"provenance": provenance})
    return Adapter(manifest, {**rest, **banks}, adapter.prototypes)


def _bound(
    backbone: BackboneConfig,
    backbone_sha256: str,
    config: PeerConfig,
    text: Tensor,
    tensors: Mapping[str, Tensor],
    provenance: Mapping[str, object],
    trusted: bool,
) -> Adapter:
    manifest = AdapterManifest(
        backbone=backbone,
        backbone_sha256=backbone_sha256,
        peer=config,
        weights_trusted=True if trusted else None,
        provenance=provenance,
    )
    return Adapter(manifest, tensors, text.detach().float().clone())


def _fixed_text(config: PeerConfig, tower: TextTower) -> Tensor:
    if isinstance(config, VanillaConfig):
        return vanilla_text(config, tower)
    if isinstance(config, WinClipConfig):
        return winclip_text(config, tower)
    assert isinstance(config, ClipAdConfig)
    return clipad_text(config, tower)


def _learned(module: nn.Module) -> dict[str, Tensor]:
    return {f"{LEARNED}{name}": value.detach().float().clone() for name, value in module.state_dict().items()}


def _tower_tensors(tower: TextTower, config: FaPromptConfig) -> dict[str, Tensor]:
    """The text tower with those words alone that the prompts use, by the names that `load_text_tower` takes."""
    fillers = ("X " * config.normal_tokens + "object.", "X " * (config.normal_tokens + config.abnormal_tokens))
    rows = torch.unique(token_ids([fillers[0], f"{fillers[1]}damaged object."], tower))
    own = {name: value for name, value in tower.state_dict().items() if name != "token_embedding.weight"}
    # As numbers like all others: an adapter is float32 throughout.
    own |= {"token_embedding.rows": rows.float(), "token_embedding.values": tower.token_embedding.weight[rows]}
    return {f"{TOWER}{name}": value.detach().float().clone() for name, value in own.items()}


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _filled(module: M, tensors: Mapping[str, Tensor], adapter: Adapter) -> M:
    try:
        load_strictly(module, tensors, f"adapter {adapter.id[:12]}")
    except WeightsError as error:
        raise AdapterError(str(error)) from error
    return module
