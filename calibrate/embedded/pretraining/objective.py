"""What pretraining asks for: captions match their images, patches and CLS know normal from abnormal.

The loss of one step is a module, so that torch can spread it over processes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from open_clip import SimpleTokenizer
from open_clip.model import CLIP
from torch import Tensor, nn
from torch.nn import functional as F

from calibrate.embedded.pretraining.batches import PATCH_FLOOR
from calibrate.embedded.pretraining.config import LossWeights
from calibrate.embedded.pretraining.model import text_features, vision_tokens
from fbclip.backbone.config import BackboneConfig
from fbclip.features.imagenet import Strides
from fbclip.method.config import TextConfig
from fbclip.method.text import tokenize

PLAIN_PROMPTS = ("a photo of a object without defect.", "a photo of a object with defect.")


def margins(tokens: Tensor, prototypes: Tensor, temperature: float) -> Tensor:
    """Tokens (B,N,D), unit prototypes (2,D) [normal, abnormal] -> abnormal minus normal logits (B,N).

    Along the unit direction between the prototypes: they begin almost equal, and with their plain difference hardly
    any gradient came through (patch AUROC 0.51 after 900 steps).
    """
    unit = F.normalize(tokens.float(), dim=-1)
    return unit @ F.normalize(prototypes[1] - prototypes[0], dim=0) / temperature


def patch_targets(cover: Tensor) -> tuple[Tensor, Tensor]:
    """Cover (B,g,g) -> flat (target, weight), float32 (B,g·g); patches barely touched have weight 0."""
    flat = cover.flatten(1)
    return (flat > PATCH_FLOOR).float(), ((flat > PATCH_FLOOR) | (flat <= 1e-4)).float()


def contrastive(images: Tensor, texts: Tensor, captions: Sequence[str], scale: Tensor) -> Tensor:
    """Symmetric cross entropy of unit features (B,D); equal captions are all right answers."""
    same = torch.tensor([[a == b for b in captions] for a in captions], dtype=torch.float32, device=images.device)
    target = same / same.sum(dim=1, keepdim=True)
    logits = scale.exp().clamp(max=100) * images @ texts.t()
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.t(), target)) / 2


def dense_loss(tokens: Sequence[Tensor], cover: Tensor, prototypes: Tensor, weights: LossWeights) -> Tensor:
    """Binary cross entropy of patch margins, the last layer in full and the others lightly."""
    target, weight = patch_targets(cover)
    pull = torch.tensor(weights.positive, device=cover.device)
    total = torch.zeros((), device=cover.device)
    for k, layer in enumerate(tokens):
        share = weights.dense if k == len(tokens) - 1 else weights.intermediate
        margin = margins(layer[:, 1:], prototypes, weights.temperature)
        total = total + share * F.binary_cross_entropy_with_logits(margin, target, weight, pos_weight=pull)
    return total


def image_loss(cls: Tensor, cover: Tensor, prototypes: Tensor, weights: LossWeights) -> Tensor:
    """The same for CLS (B,D) and whether the crop shows any defect."""
    target, _ = patch_targets(cover)
    margin = margins(cls.unsqueeze(1), prototypes, weights.temperature)[:, 0]
    return weights.image * F.binary_cross_entropy_with_logits(margin, target.amax(dim=1))


class Objective(nn.Module):
    """A CLIP and its loss over patches, CLS and captions."""

    prompts: Tensor

    def __init__(
        self, clip: CLIP, backbone: BackboneConfig, layers: Sequence[int], weights: LossWeights, mixed: bool
    ) -> None:
        """`layers`: blocks whose tokens count, the last one in full. `mixed`: bfloat16 where it is safe."""
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
        pooled = text_features(self.clip, self.prompts, mean_weight=1.0)
        return F.normalize(pooled[:2] + pooled[2:], dim=-1)

    def forward(self, seen: Strides | Tensor, cover: Tensor, captions: Sequence[str]) -> Tensor:
        """What the stem takes of B images, what covers their patches (B,g,g), captions of the first -> the loss."""
        with torch.autocast(cover.device.type, torch.bfloat16, enabled=self.mixed):
            tokens = vision_tokens(self.clip, self.clip.visual.conv1(seen), self.layers)
            prototypes = self.prototypes()
            texts = text_features(self.clip, self.ids(captions).to(cover.device))
        cls = F.normalize(tokens[-1][:, 0].float(), dim=-1)
        w = self.weights
        return (
            dense_loss(tokens, cover, prototypes, w)
            + image_loss(tokens[-1][:, 0], cover, prototypes, w)
            + w.contrastive * contrastive(cls[: len(captions)], texts, captions, self.clip.logit_scale)
        )
