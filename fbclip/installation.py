"""What is installed: versions, device, known backbones, and the embedded model with its provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch

from fbclip import __version__
from fbclip.artefacts.adapter import load_adapter
from fbclip.backbone.catalog import usable_backbones
from fbclip.backbone.config import EMBEDDED, BackboneConfig
from fbclip.backbone.weights import EMBEDDED_DIR, find_weights, open_backbone
from fbclip.errors import WeightsError
from fbclip.features.catalog import IMAGENET
from fbclip.features.imagenet import weights_file
from fbclip.files import file_sha256
from fbclip.frozen import Frozen
from fbclip.method.config import FBCLIPConfig


class EmbeddedModelFacts(Frozen):
    """adapter: its id; backbone_sha256: of the tensors; file_sha256: what the weights file was checked with."""

    adapter: str
    backbone_sha256: str
    file_sha256: str | None
    tuned_on_same_weights: bool
    backbone: BackboneConfig
    method: FBCLIPConfig
    backbone_provenance: Mapping[str, Any] | None
    adapter_provenance: Mapping[str, Any]


class FeatureNetworkFacts(Frozen):
    """A network that memories can be made of; installed: its weights are there, and are the published ones."""

    name: str
    architecture: str
    licence: str
    package: str
    sha256: str
    installed: bool


class InstallationFacts(Frozen):
    """device: the one that `auto` takes."""

    version: str
    torch: str
    device: str
    backbones: tuple[str, ...]
    features: tuple[FeatureNetworkFacts, ...]
    embedded: EmbeddedModelFacts


def installation() -> InstallationFacts:
    """Reads and checks the embedded model; raises WeightsError or AdapterError where it is damaged."""
    adapter = load_adapter(EMBEDDED_DIR / "adapter")
    weights = find_weights(EMBEDDED.name)
    _, digest = open_backbone(weights, adapter.manifest.image_size)
    record = EMBEDDED_DIR / "provenance.json"
    return InstallationFacts(
        version=__version__,
        torch=torch.__version__,
        device="cuda" if torch.cuda.is_available() else "cpu",
        backbones=tuple(usable_backbones()),
        features=(_imagenet(),),
        embedded=EmbeddedModelFacts(
            adapter=adapter.id,
            backbone_sha256=digest,
            file_sha256=weights.checked,
            tuned_on_same_weights=digest == adapter.manifest.backbone_sha256,
            backbone=adapter.manifest.backbone,
            method=adapter.manifest.fbclip,
            backbone_provenance=json.loads(record.read_text(encoding="utf-8")) if record.is_file() else None,
            adapter_provenance=adapter.manifest.provenance,
        ),
    )


def _imagenet() -> FeatureNetworkFacts:
    try:
        file = weights_file()
        installed = file.is_file() and file_sha256(file) == IMAGENET.sha256
    except WeightsError:
        installed = False
    return FeatureNetworkFacts(
        name=IMAGENET.name,
        architecture=IMAGENET.architecture,
        licence=IMAGENET.licence,
        package=IMAGENET.package,
        sha256=IMAGENET.sha256,
        installed=installed,
    )
