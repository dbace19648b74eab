"""The second half of `calibrate pretrain`: an FB-CLIP adapter for the embedded backbone, by the tuning code.

It learns on families that the backbone has not trained on: margins there are as uncertain as on a user's images.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from calibrate.defects.kinds import GENERATOR_VERSION
from calibrate.embedded.pretraining.batches import normalise, to_float
from calibrate.embedded.pretraining.generated_images import ImageRecipe, load_or_generate
from calibrate.embedded.pretraining.initialization import initialize_from_backbone
from calibrate.surfaces.families import ADAPTER_FAMILIES
from calibrate.tuning.parameters import LearnedModules
from calibrate.tuning.training import Recipe, TuningBatch, tune
from fbclip.artefacts.adapter import Adapter
from fbclip.backbone.weights import WeightsFile, open_backbone
from fbclip.method.config import EMBEDDED_METHOD
from fbclip.method.text import load_text_tower

ADAPTER_SEED = 20_000_000
logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class GeneratedBatches:
    """Whole generated images in a new order each epoch, turned and mirrored.

    `images` uint8 (N,S,S,3), `masks` bool (N,S,S).
    """

    images: np.ndarray
    masks: np.ndarray
    batch: int
    seed: int

    def __call__(self, epoch: int) -> Iterator[TuningBatch]:
        rng = np.random.default_rng((self.seed, epoch))
        order = rng.permutation(len(self.images))
        for start in range(0, len(order) - self.batch + 1, self.batch):
            chosen = np.sort(order[start : start + self.batch])
            turns, mirrored = int(rng.integers(0, 4)), bool(rng.random() < 0.5)
            images = np.rot90(self.images[chosen], turns, axes=(1, 2))
            masks = np.rot90(self.masks[chosen], turns, axes=(1, 2))
            if mirrored:
                images, masks = images[:, :, ::-1], masks[:, :, ::-1]
            solid = torch.from_numpy(np.ascontiguousarray(masks).astype(np.float32))
            yield TuningBatch(normalise(to_float(images)), (solid.flatten(1).amax(1) > 0).float(), solid)


@dataclass(frozen=True)
class AdapterRequest:
    """How the adapter is tuned: on `images` generated images, kept in `cache`; a log line each `log_every` steps."""

    cache: Path
    images: int
    recipe: Recipe
    batch: int = 16
    device: str = "cpu"
    log_every: int = 20


def train_adapter(weights: WeightsFile, request: AdapterRequest) -> Adapter:
    """The adapter for `weights`; raises TrainingError when the model or its loss is not finite."""
    method, recipe = EMBEDDED_METHOD, request.recipe
    images = ImageRecipe(request.images, method.image_size, ADAPTER_SEED, ADAPTER_FAMILIES)
    backbone, digest = open_backbone(weights, method.image_size)
    tower = load_text_tower(weights.all(), weights.config)
    recent: list[list[float]] = []

    def progress(epoch: int, step: int, losses: list[float]) -> None:
        recent.append(losses)
        if len(recent) == request.log_every:
            logger.info("epoch %d step %d losses %s", epoch, step, np.round(np.mean(recent, axis=0), 4).tolist())
            recent.clear()

    def batches(epoch: int) -> Iterator[TuningBatch]:
        # Here, so that an adapter that is not tuned needs none.
        data = load_or_generate(request.cache, "adapter", images, torch.get_num_threads())
        return GeneratedBatches(data.images, data.masks, request.batch, recipe.seed)(epoch)

    start = LearnedModules(*initialize_from_backbone(backbone, tower, method, recipe.seed))
    tuned = tune(backbone.to(request.device), tower.to(request.device), method, batches, recipe, progress, start)
    provenance: dict[str, object] = {
        "recipe": asdict(recipe),
        "batch": request.batch,
        "pictures": request.images if recipe.epochs else 0,
        "families": list(ADAPTER_FAMILIES),
        "generator_version": GENERATOR_VERSION,
    }
    return tuned.adapter(digest, weights.config, provenance)
