"""An adapter for timing: what a prediction takes does not depend on the numbers."""

from __future__ import annotations

import torch

from fbclip.artefacts.adapter import Adapter, AdapterManifest
from fbclip.backbone.tower import Backbone
from fbclip.method.model import Head

DIGEST = "0" * 64
"""Stands for a backbone whose weights nobody looks at."""


def random_adapter(backbone: Backbone, head: Head) -> Adapter:
    """Of this head with random prototypes, the same ones each time."""
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.nn.functional.normalize(torch.randn(2, backbone.config.embed_dim, generator=generator), dim=-1)
    manifest = AdapterManifest(backbone=backbone.config, backbone_sha256=DIGEST, method=head.config)
    return Adapter(manifest, {f"head.{name}": value for name, value in head.state_dict().items()}, prototypes)
