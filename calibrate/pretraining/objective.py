"""The loss of one step as a module, so that torch can spread it over processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from open_clip import SimpleTokenizer
from open_clip.model import CLIP
from torch import Tensor, nn
from torch.nn import functional as F

from calibrate.pretraining.losses import LossWeights, contrastive, dense_loss, image_loss
from calibrate.pretraining.model import text_features, vision_tokens
from fbclip.config import BackboneConfig, TextConfig
from fbclip.text import tokenize

PLAIN_PROMPTS = ("a photo of a object without defect.", "a photo of a object with defect.")


class Objective(nn.Module):
    """A CLIP and what is asked of it: patches and CLS know normal from abnormal, pictures know their captions."""

    def __init__(
        self, clip: CLIP, backbone: BackboneConfig, layers: Sequence[int], weights: LossWeights, mixed: bool
    ) -> None:
        """`layers`: blocks whose tokens are asked, the last one in full. `mixed`: bfloat16 where it is safe."""
        super().__init__()
        self.clip, self.layers, self.weights, self.mixed = clip, tuple(layers), weights, mixed
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

    def forward(self, images: Tensor, cover: Tensor, corner: tuple[int, int] | None, captions: Sequence[str]) -> Tensor:
        """Normalised crops (B,3,s,s), cover (B,g,g), where they lie, captions of the first ones -> scalar loss."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.mixed):
            tokens = vision_tokens(self.clip, images, self.layers, corner)
            prototypes = self.prototypes()
            texts = text_features(self.clip, self.ids(captions).to(images.device))
        cls = F.normalize(tokens[-1][:, 0].float(), dim=-1)
        w = self.weights
        return (
            dense_loss(tokens, cover, prototypes, w)
            + image_loss(tokens[-1][:, 0], cover, prototypes, w)
            + w.contrastive * contrastive(cls[: len(captions)], texts, captions, self.clip.logit_scale)
        )
