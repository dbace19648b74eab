"""Model, optimiser and step counter of a pretraining run; the data of a step follow from its number."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from open_clip.model import CLIP
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from calibrate.defects.kinds import GENERATOR_VERSION
from calibrate.embedded.pretraining.batches import PATCH_FLOOR, PretrainingBatch, draw_batch, normalise, to_float
from calibrate.embedded.pretraining.config import PretrainConfig, Processes
from calibrate.embedded.pretraining.generated_images import GeneratedImages
from calibrate.embedded.pretraining.model import build_clip, distinct, vision_tokens, vocabulary
from calibrate.embedded.pretraining.objective import PLAIN_PROMPTS, Objective, margins
from calibrate.errors import TrainingError
from calibrate.metrics.ranking import auroc
from calibrate.surfaces.fields import Array
from fbclip.backbone.config import BackboneConfig
from fbclip.features.imagenet import Strides, open_imagenet
from fbclip.method.config import EMBEDDED_METHOD
from fbclip.method.text import tokenize

_BATCH = 20
Eyes = Callable[[Tensor], Strides | Tensor]
"""Normalised images (B,3,s,s) -> what the stem takes: their frozen features, or themselves."""


@dataclass(frozen=True)
class HeldOutAurocs:
    """Over patches, and over images by CLS plus the largest patch; NaN where all are of one kind."""

    patch: float
    image: float


@torch.no_grad()
def held_out_aurocs(trainer: PretrainingTrainer, held_out: GeneratedImages, count: int = 400) -> HeldOutAurocs:
    """Measured on the first `count` images, whole."""
    objective, device, patch_size = trainer.objective, trainer.device, trainer.backbone.patch_size
    prototypes = objective.prototypes()
    patch_scores, patch_labels, image_scores, image_labels = [], [], [], []
    for start in range(0, min(count, len(held_out.images)), _BATCH):
        images = normalise(to_float(held_out.images[start : start + _BATCH])).to(device)
        masks = torch.from_numpy(np.array(held_out.masks[start : start + _BATCH], np.float32))
        cover = F.avg_pool2d(masks.unsqueeze(1), patch_size)[:, 0].flatten(1)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=objective.mixed):
            patches = objective.clip.visual.conv1(trainer.see(images))
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


class PretrainingTrainer:
    """One process's part of a run."""

    def __init__(
        self,
        backbone: BackboneConfig,
        config: PretrainConfig,
        data: GeneratedImages,
        device: str = "cpu",
        processes: Processes | None = None,
    ) -> None:
        torch.manual_seed(config.seed)
        self.backbone, self.config, self.data, self.device = backbone, config, data, device
        self.processes = processes or Processes()
        texts = [*{c: None for pair in data.captions for c in pair}, *PLAIN_PROMPTS]
        prompts = tokenize(EMBEDDED_METHOD.text, backbone.context_length).flatten()
        rows = distinct(vocabulary(texts, backbone.context_length), prompts)
        self.see: Eyes = open_imagenet().to(device) if backbone.stem == "imagenet" else torch.nn.Identity()
        self.clip: CLIP = build_clip(backbone, rows).to(device)
        self.objective = Objective(self.clip, backbone, EMBEDDED_METHOD.feature_layers, config.weights, config.mixed)
        self.objective.to(device)
        self.parallel: torch.nn.Module = self.objective
        if self.processes.count > 1:
            self.parallel = DistributedDataParallel(self.objective)
        matrices = [p for p in self.objective.parameters() if p.ndim >= 2]
        vectors = [p for p in self.objective.parameters() if p.ndim < 2]
        self.optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
            lr=config.learning_rate,
            betas=(0.9, 0.98),
            fused=True,
        )
        self.step, self.hours = 0, 0.0

    def next_batch(self) -> PretrainingBatch:
        """This process's share of the batch of this step."""
        c, these, patch = self.config, self.processes, self.backbone.patch_size
        side = c.side(self.step, self.backbone)
        return draw_batch(self.data, c.batch // these.count, side, patch, c.seed, self.step, these.rank, c.strewn)

    def train_step(self) -> tuple[float, int]:
        """One update; (loss, images of this process)."""
        batch = self.next_batch()
        with torch.no_grad():
            seen = self.see(batch.images.to(self.device))
        loss = self.parallel(
            seen, batch.cover.to(self.device), batch.captions[: self.config.captions // self.processes.count]
        )
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.rate(self.step)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.objective.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        return float(loss.detach()), len(batch.images)

    def _recipe(self) -> dict[str, object]:
        """What a state must have in common with a run that goes on from it."""
        return {
            "backbone": self.backbone.model_dump(),
            "config": asdict(self.config),
            "processes": self.processes.count,
            "generator_version": GENERATOR_VERSION,
        }

    def save(self, folder: Path) -> None:
        """Everything a resumed run needs, without pickle; the JSON is written last."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"model.{k}": v.detach().cpu().contiguous() for k, v in self.objective.state_dict().items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{k}": v.detach().cpu().clone() for k, v in state.items()}
        draft = folder / "state.part"
        save_file(tensors, draft, metadata={"step": str(self.step)})
        draft.replace(folder / "state.safetensors")
        about = {"step": self.step, "hours": self.hours, **self._recipe()}
        (folder / "state.json").write_text(json.dumps(about, indent=1), encoding="utf-8")

    def resume(self, folder: Path) -> None:
        """Go on from `save`; FileNotFoundError when there is nothing, TrainingError when it is of another run."""
        about = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        other = [name for name, value in self._recipe().items() if about.get(name) != value]
        if other:
            raise TrainingError(f"{folder}: is of a run with another {', '.join(other)}; give another --cache")
        tensors = load_file(folder / "state.safetensors")
        self.objective.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            if key.startswith("optimiser."):
                _, index, name = key.split(".")
                state.setdefault(int(index), {})[name] = tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
        self.step, self.hours = int(about["step"]), float(about["hours"])
