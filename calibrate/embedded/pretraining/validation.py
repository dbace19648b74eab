"""How well the backbone tells normal from anomalous on families that it does not train on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from calibrate.embedded.pretraining.batches import PATCH_FLOOR, normalise, to_float
from calibrate.embedded.pretraining.generated_images import GeneratedImages
from calibrate.embedded.pretraining.model import stem_stages, vision_tokens
from calibrate.embedded.pretraining.objective import Objective, margins
from calibrate.metrics.ranking import auroc
from calibrate.surfaces.noise import Array

_BATCH = 20


@dataclass(frozen=True)
class HeldOutAurocs:
    """Over patches, and over images by CLS plus the largest patch; NaN where all are of one kind."""

    patch: float
    image: float


@torch.no_grad()
def held_out_aurocs(
    objective: Objective, held_out: GeneratedImages, patch_size: int, device: str, count: int = 400
) -> HeldOutAurocs:
    """Measured on the first `count` images, whole."""
    prototypes = objective.prototypes()
    patch_scores, patch_labels, image_scores, image_labels = [], [], [], []
    for start in range(0, min(count, len(held_out.images)), _BATCH):
        images = normalise(to_float(held_out.images[start : start + _BATCH])).to(device)
        masks = torch.from_numpy(np.array(held_out.masks[start : start + _BATCH], np.float32))
        cover = F.avg_pool2d(masks.unsqueeze(1), patch_size)[:, 0].flatten(1)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=objective.mixed):
            patches = stem_stages(objective.clip, images)[-1]
            tokens = vision_tokens(objective.clip, patches, objective.layers)[-1]
        score = margins(tokens, prototypes, objective.weights.temperature).cpu()
        patch_scores.append(score[:, 1:].flatten().numpy())
        patch_labels.append((cover > PATCH_FLOOR).flatten().numpy())
        image_scores.append((score[:, 0] + score[:, 1:].amax(dim=1)).numpy())
        image_labels.append((masks.flatten(1).amax(dim=1) > 0).numpy())
    return HeldOutAurocs(_auroc(patch_scores, patch_labels), _auroc(image_scores, image_labels))


def _auroc(scores: Sequence[Array], labels: Sequence[Array]) -> float:
    found = auroc(np.concatenate(scores), np.concatenate(labels))
    return float("nan") if found is None else found
