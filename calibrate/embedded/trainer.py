"""Model, optimiser and step counter of a pretraining run; the data of a step follow from its number."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from open_clip.model import CLIP
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from calibrate.embedded.batches import PATCH_FLOOR, PretrainingBatch, draw_batch, normalised, to_float
from calibrate.embedded.image_bank import Bank
from calibrate.embedded.losses import LossWeights, margins
from calibrate.embedded.model import build_clip, distinct, stem_stages, vision_tokens, vocabulary
from calibrate.embedded.objective import PLAIN_PROMPTS, Objective
from calibrate.embedded.scene import GENERATOR_VERSION
from calibrate.errors import TrainingError
from calibrate.metrics.ranking import auroc
from calibrate.surfaces.noise import Array
from fbclip.backbone.config import BackboneConfig
from fbclip.method.config import EMBEDDED_METHOD
from fbclip.method.text import tokenize


@dataclass(frozen=True)
class PretrainConfig:
    """One run; equal numbers on the same kind of machine give equal weights. Processes share each batch evenly.

    mixed: bfloat16 products, where the machine has them. small_share: of the steps, the first ones, which see the
    images at `small_scale` of their side: they cost half. start_sha256: of the weights file it goes on from, empty
    for a random start.
    """

    steps: int
    seed: int = 0
    batch: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 200
    captions: int = 16
    mixed: bool = True
    small_scale: float = 0.75
    small_share: float = 0.7
    start_sha256: str = ""
    weights: LossWeights = field(default_factory=LossWeights)


@dataclass(frozen=True)
class Processes:
    """This process's place among those that torchrun started; alone without it."""

    rank: int = 0
    count: int = 1


class PretrainingTrainer:
    """One process's part of a run."""

    def __init__(
        self,
        backbone: BackboneConfig,
        config: PretrainConfig,
        bank: Bank,
        device: str = "cpu",
        processes: Processes | None = None,
    ) -> None:
        torch.manual_seed(config.seed)
        self.backbone, self.config, self.bank, self.device = backbone, config, bank, device
        self.processes = processes or Processes()
        words = [*{c: None for pair in bank.captions for c in pair}, *PLAIN_PROMPTS]
        prompts = tokenize(EMBEDDED_METHOD.text, backbone.context_length).flatten()
        rows = distinct(vocabulary(words, backbone.context_length), prompts)
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

    def rate(self) -> float:
        """Learning rate of the next step: linear rise, then a cosine down to a hundredth."""
        rise = min(1.0, (self.step + 1) / self.config.warmup)
        share = min(1.0, self.step / self.config.steps)
        return self.config.learning_rate * rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))

    def side(self) -> int:
        """Side in pixels of the next step's images."""
        size, patch = self.backbone.image_size, self.backbone.patch_size
        if self.step >= self.config.small_share * self.config.steps:
            return size
        return max(1, int(self.config.small_scale * size) // patch) * patch

    def next_batch(self) -> PretrainingBatch:
        """This process's share of the batch of this step."""
        c, these, patch = self.config, self.processes, self.backbone.patch_size
        return draw_batch(self.bank, c.batch // these.count, self.side(), patch, c.seed, self.step, these.rank)

    def train_step(self) -> tuple[float, int]:
        """One update; (loss, images that this process saw)."""
        batch = self.next_batch()
        images, cells = batch.images.to(self.device), batch.cells.to(self.device)
        loss = self.parallel(images, cells, batch.captions[: self.config.captions // self.processes.count])
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.objective.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        return float(loss.detach()), len(images)

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
        about = {
            "step": self.step,
            "hours": self.hours,
            **self._recipe(),
        }
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

    @torch.no_grad()
    def validate(self, bank: Bank, count: int = 400) -> tuple[float, float]:
        """(patch AUROC, image AUROC by CLS plus largest patch) on whole images of families it does not train on."""
        prototypes = self.objective.prototypes()
        patch_scores, patch_labels, image_scores, image_labels = [], [], [], []
        size, mixed = self.backbone.patch_size, self.config.mixed
        for start in range(0, min(count, len(bank.images)), 20):
            images = normalised(to_float(bank.images[start : start + 20])).to(self.device)
            masks = torch.from_numpy(np.array(bank.masks[start : start + 20], np.float32))
            cover = F.avg_pool2d(masks.unsqueeze(1), size)[:, 0].flatten(1)
            with torch.autocast(images.device.type, torch.bfloat16, enabled=mixed):
                patches = stem_stages(self.clip, images)[-1]
                tokens = vision_tokens(self.clip, patches, self.objective.layers)[-1]
            score = margins(tokens, prototypes, self.config.weights.temperature).cpu()
            patch_scores.append(score[:, 1:].flatten().numpy())
            patch_labels.append((cover > PATCH_FLOOR).flatten().numpy())
            image_scores.append((score[:, 0] + score[:, 1:].amax(dim=1)).numpy())
            image_labels.append((masks.flatten(1).amax(dim=1) > 0).numpy())
        return (
            _held_out_auroc(patch_scores, patch_labels),
            _held_out_auroc(image_scores, image_labels),
        )


def fast_in_bfloat16(device: str) -> bool:
    """Whether products in bfloat16 are worth it: on a CPU without AVX-512 a step took seven times as long."""
    return device.startswith("cuda") or torch.backends.cpu.get_cpu_capability() == "AVX512"


def _held_out_auroc(scores: Sequence[Array], labels: Sequence[Array]) -> float:
    """NaN where all images are of one kind."""
    found = auroc(np.concatenate(scores), np.concatenate(labels))
    return float("nan") if found is None else found
