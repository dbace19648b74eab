"""The loss of one step as a module, so that torch can spread it over processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from open_clip import SimpleTokenizer
from open_clip.model import CLIP
from torch import Tensor, nn
from torch.nn import functional as F

from calibrate.embedded.layers import TrainedNorm
from calibrate.embedded.losses import LossWeights, cell_loss, contrastive, dense_loss, image_loss
from calibrate.embedded.model import stem_stages, text_features, vision_tokens
from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.stem import ConvStem
from fbclip.method.config import TextConfig
from fbclip.method.text import tokenize

PLAIN_PROMPTS = ("a photo of a object without defect.", "a photo of a object with defect.")


class Objective(nn.Module):
    """A CLIP and what is asked of it: patches and CLS know normal from abnormal, images know their captions.

    Cells of half a patch, inside the stem, are asked too, through a probe that is not shipped.
    """

    def __init__(
        self, clip: CLIP, backbone: BackboneConfig, layers: Sequence[int], weights: LossWeights, mixed: bool
    ) -> None:
        """`layers`: blocks whose tokens are asked, the last one in full. `mixed`: bfloat16 where it is safe."""
        super().__init__()
        self.clip, self.layers, self.weights, self.mixed = clip, tuple(layers), weights, mixed
        stem = clip.visual.conv1
        self.probe: nn.Module | None = None
        if isinstance(stem, ConvStem) and len(stem.stages) > 1:
            width = stem.widths[-2]
            self.probe = nn.Sequential(TrainedNorm(width), nn.GELU(), nn.Conv2d(width, 1, 1))
        self.tokenizer, self.context_length = SimpleTokenizer(), backbone.context_length
        ids = torch.cat((self.ids(PLAIN_PROMPTS), tokenize(TextConfig(), backbone.context_length)))
        self.register_buffer("prompts", ids, persistent=False)

    def ids(self, texts: Sequence[str]) -> Tensor:
        """Token ids (P,77) on the CPU."""
        return torch.as_tensor(self.tokenizer(list(texts), self.context_length))

    def prototypes(self) -> Tensor:
        """[normal, abnormal] (2,D): over both forms of the prompt, pooled as the method pools."""
        assert isinstance(self.prompts, Tensor)
        pooled = text_features(self.clip, self.prompts, mean_weight=1.0)
        return F.normalize(pooled[:2] + pooled[2:], dim=-1)

    def forward(self, images: Tensor, cells: Tensor, captions: Sequence[str]) -> Tensor:
        """Normalised images (B,3,S,S), what covers their cells (B,2g,2g), captions of the first ones -> the loss."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.mixed):
            stages = stem_stages(self.clip, images)
            tokens = vision_tokens(self.clip, stages[-1], self.layers)
            prototypes = self.prototypes()
            texts = text_features(self.clip, self.ids(captions).to(images.device))
            probed = None if self.probe is None else self.probe(stages[-2])[:, 0]
        cover = F.avg_pool2d(cells, 2)
        cls = F.normalize(tokens[-1][:, 0].float(), dim=-1)
        w = self.weights
        return (
            dense_loss(tokens, cover, prototypes, w)
            + image_loss(tokens[-1][:, 0], cover, prototypes, w)
            + (0.0 if probed is None else cell_loss(probed, cells, w))
            + w.contrastive * contrastive(cls[: len(captions)], texts, captions, self.clip.logit_scale)
        )
