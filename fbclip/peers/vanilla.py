"""Base CLIP: the class token and the last patches against fixed prompts. Nothing is learned."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fbclip.backbone.tower import Backbone
from fbclip.method.model import Record
from fbclip.method.text import TextTower
from fbclip.peers.config import VanillaConfig
from fbclip.peers.output import Peer, PeerOutput, square, two_way, unrecorded
from fbclip.peers.prompts import ensemble_prompts, plain_prompts
from fbclip.peers.text import encode_words
from fbclip.peers.vision import embed


def vanilla_text(config: VanillaConfig, tower: TextTower) -> Tensor:
    """(2,D) [normal, abnormal]: means of the normalised prompts, normalised."""
    prompts = (plain_prompts if config.prompts == "plain" else ensemble_prompts)(config.class_name)
    means = [F.normalize(encode_words(p, tower), dim=-1).mean(dim=0) for p in (prompts.normal, prompts.abnormal)]
    return F.normalize(torch.stack(means), dim=-1)


class Vanilla(Peer):
    """`text` (2,D), from `vanilla_text`."""

    def __init__(self, backbone: Backbone, config: VanillaConfig, text: Tensor) -> None:
        super().__init__()
        self.config, self.backbone = config, backbone
        self.register_buffer("text", text)

    def forward(self, images: Tensor, record: Record | None = None) -> PeerOutput:
        record = record or unrecorded
        (tokens,) = self.backbone(images, [self.backbone.config.layers])
        features = embed(self.backbone, tokens)
        record("image_embedding", features[:, 0])
        record("patch_embeddings", features[:, 1:])
        margins = two_way(features, self.get_buffer("text"), self.config.temperature)
        return PeerOutput(margins[:, 0], square(margins[:, 1:]))
