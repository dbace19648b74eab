"""AnomalyCLIP: two learned prompts without a class, and a second path of value attention for the patches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.tower import Backbone
from fbclip.method.model import Record
from fbclip.method.text import TextTower
from fbclip.peers.config import AnomalyClipConfig
from fbclip.peers.output import Peer, PeerOutput, mean_margin, square, two_way, unrecorded
from fbclip.peers.text import encode, token_ids, with_contexts
from fbclip.peers.vision import dual_path, embed

_INIT = 0.02


class AnomalyPrompts(nn.Module):
    """What is learned. Names are those of the released checkpoint: `ctx_pos` is the normal context."""

    def __init__(self, backbone: BackboneConfig, config: AnomalyClipConfig) -> None:
        super().__init__()
        self.length, width = config.prompt_length, backbone.text_width
        self.ctx_pos = nn.Parameter(torch.randn(1, 1, self.length, width) * _INIT)
        self.ctx_neg = nn.Parameter(torch.randn(1, 1, self.length, width) * _INIT)
        deep = (torch.randn(config.deep_prompt_length, width) * _INIT for _ in range(config.deep_prompts))
        self.compound_prompts_text = nn.ParameterList(map(nn.Parameter, deep))

    def forward(self, tower: TextTower) -> Tensor:
        """Text (2,D) [normal, abnormal], normalised."""
        filler = "X " * self.length
        ids = token_ids([f"{filler}object.", f"{filler}damaged object."], tower)
        contexts = torch.cat((self.ctx_pos, self.ctx_neg)).squeeze(1)
        prompts = with_contexts(ids, contexts, tower)
        return F.normalize(encode(prompts, ids.argmax(dim=-1), tower, [*self.compound_prompts_text]), dim=-1)


class DualFeatures(nn.Module):
    """The frozen image side that AnomalyCLIP and FAPrompt share."""

    def __init__(self, backbone: Backbone, dual_blocks: int, layers: Sequence[int]) -> None:
        super().__init__()
        self.backbone, self.dual_blocks, self.layers = backbone, dual_blocks, tuple(layers)

    def forward(self, images: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """Image embedding (B,D), and by layer the patches' (B,1+L,D), whose first place is not used."""
        tokens = dual_path(self.backbone, images, self.dual_blocks, self.layers)
        # The released code leaves the last norm out of the class token.
        image = tokens.ordinary[:, 0] @ self.backbone.projection
        return image, {layer: embed(self.backbone, second) for layer, second in tokens.second.items()}


class AnomalyClip(Peer):
    """`text` (2,D), from `AnomalyPrompts`; it does not depend on the image."""

    def __init__(self, backbone: Backbone, config: AnomalyClipConfig, text: Tensor) -> None:
        super().__init__()
        self.config = config
        self.features = DualFeatures(backbone, config.dual_blocks, config.feature_layers)
        self.register_buffer("text", text)

    def forward(self, images: Tensor, record: Record | None = None) -> PeerOutput:
        record = record or unrecorded
        image, patches = self.features(images)
        text, temperature = self.get_buffer("text"), self.config.temperature
        record("image_embedding", image)
        grids = []
        for layer, features in patches.items():
            record(f"layer{layer}.patch_embeddings", features)
            grids.append(square(two_way(features[:, 1:], text, temperature)))
            record(f"layer{layer}.map_grid", torch.sigmoid(grids[-1]))
        # The sum of the layers' probabilities, as a probability.
        grid = grids[0] if len(grids) == 1 else mean_margin(grids)
        return PeerOutput(two_way(image, text, temperature), grid)
