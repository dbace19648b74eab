"""WinCLIP: every window of the image goes through the tower on its own; with a few normal images WinCLIP+.

The harmonic mean of probabilities is the sigmoid of −log mean exp(−margin), so it is taken in margins.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from fbclip.backbone.tower import Backbone
from fbclip.errors import ConfigError
from fbclip.method.model import Record
from fbclip.method.text import TextTower
from fbclip.peers.config import WinClipConfig
from fbclip.peers.memory import half_cosine_distance
from fbclip.peers.output import Peer, PeerOutput, logit_of, square, two_way, unrecorded
from fbclip.peers.prompts import winclip_prompts
from fbclip.peers.text import encode_words
from fbclip.peers.vision import embed

_WINDOWS_AT_ONCE = 512


def winclip_text(config: WinClipConfig, tower: TextTower) -> Tensor:
    """(2,D) [normal, abnormal]: means of the raw prompt embeddings, not normalised."""
    prompts = winclip_prompts(config.class_name)
    return torch.stack([encode_words(p, tower).mean(dim=0) for p in (prompts.normal, prompts.abnormal)])


class WinClip(Peer):
    """`text` (2,D) from `winclip_text`; `banks`: what `remember` made of normal images, for WinCLIP+."""

    def __init__(
        self, backbone: Backbone, config: WinClipConfig, text: Tensor, banks: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        if backbone.grid < max(config.scales):
            raise ConfigError(f"winclip: windows of {max(config.scales)} patches do not fit {backbone.grid} a side")
        self.config, self.backbone = config, backbone
        self.register_buffer("text", text)
        self._banks = sorted(banks or {})
        for name, rows in (banks or {}).items():
            self.register_buffer(_buffer(name), rows)

    def remember(self, references: Tensor) -> dict[str, Tensor]:
        """Normal images (K,3,S,S) -> bank name -> rows (M,·), normalised: of the windows of each scale, and patches."""
        features = self._features(references, unrecorded)
        return {name: F.normalize(rows, dim=-1).flatten(0, 1) for name, rows in features.items() if name != "image"}

    def forward(self, images: Tensor, record: Record | None = None) -> PeerOutput:
        record = record or unrecorded
        features = self._features(images, record)
        text, temperature = self.get_buffer("text"), self.config.temperature
        image = two_way(features["image"], text, temperature)
        grids = []
        for k in self.config.scales:
            margins = two_way(features[f"window{k}"], text, temperature)
            record(f"zero.window{k}.score", torch.sigmoid(margins))
            grids.append(self._spread(margins, k))
            record(f"zero.window{k}.map_grid", torch.sigmoid(grids[-1]))
        # The image's own probability is one more of the numbers of which the harmonic mean is taken.
        parts = torch.stack([*grids, image.double()[:, None, None].expand_as(grids[0])])
        grid = -torch.logsumexp(-parts, dim=0) + torch.log(torch.tensor(float(len(parts)), dtype=torch.float64))
        record("zero.score", torch.sigmoid(image))
        record("zero.map_grid", torch.sigmoid(grid))
        if not self._banks:
            return PeerOutput(image, grid.float())
        few = self._few_shot(features, record)
        record("few.map_grid", few)
        score = (torch.sigmoid(image.double()) + few.flatten(1).amax(dim=1)) / 2
        record("few.score", score)
        return PeerOutput(logit_of(score), logit_of((torch.sigmoid(grid) + few) / 2))

    def _features(self, images: Tensor, record: Record) -> dict[str, Tensor]:
        """`image` (B,D), `window{k}` (B,W,D) and `patch` (B,L,C)."""
        positioned = self.backbone.positioned(images)
        whole = self._blocks(positioned)
        found = {"image": embed(self.backbone, whole[:, 0])}
        record("image_embedding", found["image"])
        record("patch_tokens", whole[:, 1:])
        for k in self.config.scales:
            found[f"window{k}"] = self._windows(positioned, k)
            record(f"window{k}.embeddings", found[f"window{k}"])
        patches = whole[:, 1:]
        found["patch"] = patches if self.config.patches == "raw" else self.backbone.visual.ln_post(patches)
        return found

    def _blocks(self, positioned: Tensor) -> Tensor:
        x = self.backbone.visual.ln_pre(positioned)
        for block in self.backbone.visual.transformer.resblocks:
            x = block(x)
        return torch.as_tensor(x)

    def _windows(self, positioned: Tensor, k: int) -> Tensor:
        """(B,N,C) before the first norm -> embeddings (B,W,D) of all k·k windows, row by row."""
        side, width = self.backbone.grid, positioned.shape[-1]
        places = torch.arange(side * side, device=positioned.device).reshape(side, side)
        places = places.unfold(0, k, 1).unfold(1, k, 1).reshape(-1, k * k)  # (W,k²)
        patches = positioned[:, 1:][:, places]
        cls = positioned[:, :1].unsqueeze(1).expand(-1, len(places), -1, -1)
        windows = torch.cat((cls, patches), dim=2).reshape(-1, 1 + k * k, width)
        parts = [embed(self.backbone, self._blocks(part)[:, 0]) for part in torch.split(windows, _WINDOWS_AT_ONCE)]
        return torch.cat(parts).reshape(len(positioned), len(places), -1)

    def _spread(self, margins: Tensor, k: int) -> Tensor:
        """Window margins (B,W) -> (B,h,h) float64: of each patch the harmonic mean over the windows that cover it."""
        inverse = torch.exp(-margins.double())
        return -torch.log(_over_cover(inverse, k) / _over_cover(torch.ones_like(inverse), k))

    def _few_shot(self, features: Mapping[str, Tensor], record: Record) -> Tensor:
        """(B,h,h) float64 in 0..1: the mean of what each bank says."""
        grids = []
        for name in self._banks:
            distance = half_cosine_distance(features[name], self.get_buffer(_buffer(name)))
            record(f"few.{name}.score", distance)
            if name == "patch":
                grids.append(square(distance.double()))
            else:
                k = int(name.removeprefix("window"))
                ones = _over_cover(torch.ones_like(distance, dtype=torch.float64), k)
                # A distance of 0 makes the sum infinite and the patch 0.
                grids.append(ones / _over_cover(1 / distance.double(), k))
        return torch.stack(grids).mean(dim=0)


def _buffer(bank: str) -> str:
    return f"bank_{bank}"


def _over_cover(values: Tensor, k: int) -> Tensor:
    """Of windows (B,W) -> the sum over those that cover a patch, (B,h,h)."""
    kernel = torch.ones(1, 1, k, k, dtype=values.dtype, device=values.device)
    return F.conv_transpose2d(square(values).unsqueeze(1), kernel).squeeze(1)
