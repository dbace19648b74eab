"""CLIP-AD: a second path of value attention over all blocks, started anew at each stage, and feature surgery.

Its published image score adds the map's maximum, both stretched over all test images; an inspection knows one image,
so the class token's score alone is the image's margin here, and both parts are recorded.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fbclip.backbone.tower import Backbone
from fbclip.errors import ConfigError
from fbclip.method.maps import upsample
from fbclip.method.model import Record
from fbclip.method.text import TextTower
from fbclip.peers.clusters import dbscan, largest_cluster
from fbclip.peers.config import ClipAdConfig
from fbclip.peers.output import Peer, PeerOutput, square, unrecorded
from fbclip.peers.prompts import clipad_prompts
from fbclip.peers.text import encode_words
from fbclip.peers.vision import StageTokens, embed, staged_path


def clipad_text(config: ClipAdConfig, tower: TextTower) -> Tensor:
    """(2,D) [normal, abnormal], float32: what represents the normalised prompts of each."""
    prompts = clipad_prompts(config.class_name)
    rows = [F.normalize(encode_words(p, tower), dim=-1) for p in (prompts.normal, prompts.abnormal)]
    return torch.stack([_representative(r, config) for r in rows])


def _representative(rows: Tensor, config: ClipAdConfig) -> Tensor:
    if config.representative == "mean":
        return F.normalize(rows.mean(dim=0), dim=-1)
    labels = dbscan(rows.cpu(), config.dbscan_eps, config.dbscan_min_samples)
    mean = rows[largest_cluster(labels).to(rows.device)].mean(dim=0).half()
    return torch.as_tensor(mean / mean.norm()).float()


class LinearLayers(nn.Module):
    """SDP+'s learned part: one linear layer a feature layer, C to D. Names are those of the released checkpoint."""

    def __init__(self, width: int, embed_dim: int, count: int) -> None:
        super().__init__()
        self.fc = nn.ModuleList(nn.Linear(width, embed_dim) for _ in range(count))

    def maps(self, originals: list[Tensor], text: Tensor, config: ClipAdConfig) -> list[Tensor]:
        """Original patches (B,L,C) a layer -> two-way probabilities (B,2,S,S) a layer."""
        size, found = (config.image_size, config.image_size), []
        for layer, tokens in zip(self.fc, originals, strict=True):
            similar = config.logit_scale * F.normalize(layer(tokens), dim=-1) @ text.T
            grids = torch.stack([square(similar[..., k]) for k in (0, 1)], dim=1)
            found.append(F.interpolate(grids, size, mode="bilinear", align_corners=True).softmax(dim=1))
        return found


class ClipAd(Peer):
    """`text` (2,D), from `clipad_text`; with `linear` SDP+."""

    def __init__(
        self, backbone: Backbone, config: ClipAdConfig, text: Tensor, linear: LinearLayers | None = None
    ) -> None:
        super().__init__()
        if max(config.feature_layers) != backbone.config.layers:
            raise ConfigError(
                f"clipad: the last of feature_layers {config.feature_layers} must be the backbone's last block, "
                f"{backbone.config.layers}"
            )
        self.config, self.backbone, self.linear = config, backbone, linear
        self.register_buffer("text", text)

    def forward(self, images: Tensor, record: Record | None = None) -> PeerOutput:
        record = record or unrecorded
        layers = staged_path(self.backbone, images, self.config.feature_layers)
        text = self.get_buffer("text")
        similarity, last = self._surgery(layers, text, record)
        record("similarity", similarity)
        grid = square(similarity[:, 1:, 1])
        # The representatives come through float16 and are used as long as they then are.
        image_margin = self.config.logit_scale * F.normalize(last, dim=-1) @ (text[1] - text[0])
        if self.linear is None:
            return PeerOutput(image_margin, grid)
        originals = [layers[n].original[:, 1:] for n in self.config.feature_layers]
        linear = torch.stack([p[:, 1] for p in self.linear.maps(originals, text, self.config)]).sum(dim=0)
        record("plus.map_linear", linear)
        return PeerOutput(image_margin, upsample(grid, self.config.image_size) + linear)

    def _surgery(self, layers: Mapping[int, StageTokens], text: Tensor, record: Record) -> tuple[Tensor, Tensor]:
        """Similarities (B,N,2) summed over the layers, and the last layer's CLS (B,D)."""
        similar: list[Tensor] = []
        cls: list[Tensor] = []
        for n in self.config.feature_layers:
            mixed = torch.cat((layers[n].original[:, :1], layers[n].second[:, 1:]), dim=1)
            features = embed(self.backbone, mixed)
            record(f"layer{n}.surgery", features)
            record(f"layer{n}.original", layers[n].original)
            cls.append(features[:, 0])
            unit = F.normalize(features, dim=-1)
            weights = 2 * (unit[:, :1] @ text.T).softmax(dim=-1)  # (B,1,2), without a temperature
            weighted = weights * (unit @ text.T)
            similar.append(weighted - weighted.mean(dim=-1, keepdim=True))
        return torch.stack(similar).sum(dim=0), cls[-1]
