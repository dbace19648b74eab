"""An adapter starts from what its backbone says."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from calibrate.embedded.pretraining.initialization import initialize_from_backbone
from fbclip.backbone.config import EMBEDDED
from fbclip.backbone.weights import find_weights, open_backbone
from fbclip.method.config import EMBEDDED_METHOD
from fbclip.method.text import load_text_tower


def test_the_initialization_hands_tokens_on_and_keeps_both_prompts_apart() -> None:
    weights = find_weights("embedded", None)
    backbone, _ = open_backbone(weights, EMBEDDED_METHOD.image_size)
    tower = load_text_tower(weights.all(), weights.config)
    head, fusion = initialize_from_backbone(backbone, tower, EMBEDDED_METHOD, seed=0)
    torch.manual_seed(0)
    with torch.no_grad():
        (tokens,) = backbone(torch.randn(1, 3, 256, 256), [EMBEDDED.layers])
        # One token alone can attend to nothing but itself.
        alone = tokens.transpose(0, 1)
        weights = head.attention.stacked_weights()
        found = head.attention(weights.stack(alone), weights)
        prototypes = fusion(tower)
    assert torch.allclose(found, backbone.visual.ln_post(alone), atol=1e-3)
    assert F.cosine_similarity(prototypes[0], prototypes[1], dim=0) < 0.999
    assert all(p.requires_grad for p in (*head.parameters(), *fusion.parameters()))
