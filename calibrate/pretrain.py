"""Train the embedded backbone on generated pictures: seeded, resumable, on CPU or CUDA.

    calibrate pretrain --cache CACHE --out OUT

Most steps see small crops, the last ones whole pictures. The state is one safetensors file and one JSON file.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from open_clip import SimpleTokenizer
from open_clip.model import CLIP
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from calibrate.metrics.ranking import auroc
from calibrate.pretrain_data import PATCH_FLOOR, Bank, Batch, draw_batch, make_bank, normalised, to_float
from calibrate.pretrain_loss import LossWeights, contrastive, dense_loss, image_loss, margins
from calibrate.pretrain_model import build_clip, distinct, save_backbone, text_features, vision_tokens, vocabulary
from calibrate.synthesis import GENERATOR_VERSION, HELD_OUT_FAMILIES, TRAIN_FAMILIES
from calibrate.synthesis.noise import Array
from fbclip.config import EMBEDDED, EMBEDDED_METHOD, BackboneConfig, TextConfig
from fbclip.files import file_sha256, write_atomically
from fbclip.text import tokenize

logger = logging.getLogger(__name__)
HELD_OUT_SEED = 9_000_000
TRAIN_SEED = 2_000_000
PLAIN_PROMPTS = ("a photo of a object without defect.", "a photo of a object with defect.")


@dataclass(frozen=True)
class PretrainConfig:
    """One run; equal numbers on the same kind of machine give equal weights."""

    steps: int
    seed: int = 0
    crop: int = 128
    batch: int = 48
    full_batch: int = 16
    full_share: float = 0.33
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    warmup: int = 200
    captions: int = 16
    mixed: bool = True
    weights: LossWeights = field(default_factory=LossWeights)


class Trainer:
    """Model, optimiser and step counter; the data of a step follow from its number."""

    def __init__(self, backbone: BackboneConfig, config: PretrainConfig, bank: Bank, device: str = "cpu") -> None:
        torch.manual_seed(config.seed)
        self.backbone, self.config, self.bank, self.device = backbone, config, bank, device
        self.clip: CLIP = build_clip(backbone).to(device)
        matrices = [p for p in self.clip.parameters() if p.ndim >= 2]
        vectors = [p for p in self.clip.parameters() if p.ndim < 2]
        self.optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
            lr=config.learning_rate,
            betas=(0.9, 0.98),
            fused=True,
        )
        self.step, self.hours = 0, 0.0
        self.tokenizer = SimpleTokenizer()
        self.plain = self.ids(PLAIN_PROMPTS)
        self.filled = tokenize(TextConfig(), backbone.context_length).to(device)

    def ids(self, texts: tuple[str, ...]) -> Tensor:
        """Token ids (P,77) on the training device."""
        return torch.as_tensor(self.tokenizer(list(texts), self.backbone.context_length)).to(self.device)

    def rows(self) -> Tensor:
        """Vocabulary rows that captions and prompts use."""
        captions = [c for pair in self.bank.captions for c in pair]
        words = vocabulary([*captions, *PLAIN_PROMPTS], self.backbone.context_length)
        return distinct(words, self.filled.flatten())

    def rate(self) -> float:
        """Learning rate of the next step: linear rise, then a cosine down to a hundredth."""
        rise = min(1.0, (self.step + 1) / self.config.warmup)
        share = min(1.0, self.step / self.config.steps)
        return self.config.learning_rate * rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))

    def prototypes(self) -> Tensor:
        """[normal, abnormal] (2,D): over both forms of the prompt, pooled as the method pools."""
        ids = torch.cat((self.plain, self.filled))
        pooled = text_features(self.clip, ids, mean_weight=1.0)
        return F.normalize(pooled[:2] + pooled[2:], dim=-1)

    def next_batch(self) -> tuple[Batch, tuple[int, int] | None]:
        """The batch of this step, and where in the positional table its crops lie."""
        c, patch = self.config, self.backbone.patch_size
        if self.step >= c.steps * (1 - c.full_share):
            return draw_batch(self.bank, c.full_batch, self.backbone.image_size, patch, c.seed, self.step), None
        batch = draw_batch(self.bank, c.batch, c.crop, patch, c.seed, self.step)
        room = (self.backbone.image_size - c.crop) // patch
        corner = np.random.default_rng((c.seed, self.step, 1)).integers(0, room + 1, 2)
        return batch, (int(corner[0]), int(corner[1]))

    def train_step(self) -> tuple[float, int]:
        """One update; (loss, pictures seen)."""
        c = self.config
        batch, corner = self.next_batch()
        images, cover = batch.images.to(self.device), batch.cover.to(self.device)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=c.mixed):
            tokens = vision_tokens(self.clip, images, EMBEDDED_METHOD.feature_layers, corner)
            prototypes = self.prototypes()
            shown = batch.captions[: c.captions]
            texts = text_features(self.clip, self.ids(shown))
        cls = F.normalize(tokens[-1][:, 0].float(), dim=-1)
        loss = (
            dense_loss(tokens, cover, prototypes, c.weights)
            + image_loss(tokens[-1][:, 0], cover, prototypes, c.weights)
            + c.weights.contrastive * contrastive(cls[: len(shown)], texts, shown, self.clip.logit_scale)
        )
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.clip.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        return float(loss.detach()), len(images)

    def save(self, folder: Path) -> None:
        """Everything a resumed run needs, without pickle; the JSON is written last."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"model.{k}": v.detach().cpu().contiguous() for k, v in self.clip.state_dict().items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{k}": v.detach().cpu().clone() for k, v in state.items()}
        draft = folder / "state.part"
        save_file(tensors, draft, metadata={"step": str(self.step)})
        draft.replace(folder / "state.safetensors")
        about = {
            "step": self.step,
            "hours": self.hours,
            "config": asdict(self.config),
            "generator_version": GENERATOR_VERSION,
        }
        (folder / "state.json").write_text(json.dumps(about, indent=1), encoding="utf-8")

    def resume(self, folder: Path) -> None:
        """Go on from `save`; raises FileNotFoundError when there is nothing."""
        about = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "state.safetensors")
        self.clip.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            if key.startswith("optimiser."):
                _, index, name = key.split(".")
                state.setdefault(int(index), {})[name] = tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
        self.step, self.hours = int(about["step"]), float(about["hours"])

    @torch.no_grad()
    def validate(self, bank: Bank, count: int = 200) -> tuple[float, float]:
        """(patch AUROC, image AUROC by CLS plus largest patch) on whole pictures of other families."""
        prototypes = self.prototypes()
        patch_scores, patch_labels, image_scores, image_labels = [], [], [], []
        size = self.backbone.patch_size
        for start in range(0, min(count, len(bank.images)), 20):
            images = normalised(to_float(bank.images[start : start + 20])).to(self.device)
            masks = torch.from_numpy(np.array(bank.masks[start : start + 20], np.float32))
            cover = F.avg_pool2d(masks.unsqueeze(1), size)[:, 0].flatten(1)
            tokens = vision_tokens(self.clip, images, EMBEDDED_METHOD.feature_layers, None)[-1]
            score = margins(tokens, prototypes, self.config.weights.temperature).cpu()
            patch_scores.append(score[:, 1:].flatten().numpy())
            patch_labels.append((cover > PATCH_FLOOR).flatten().numpy())
            image_scores.append((score[:, 0] + score[:, 1:].amax(dim=1)).numpy())
            image_labels.append((masks.flatten(1).amax(dim=1) > 0).numpy())
        return (
            _held_out_auroc(patch_scores, patch_labels),
            _held_out_auroc(image_scores, image_labels),
        )


def _held_out_auroc(scores: Sequence[Array], labels: Sequence[Array]) -> float:
    """NaN where all pictures are of one kind."""
    found = auroc(np.concatenate(scores), np.concatenate(labels))
    return float("nan") if found is None else found


def export(trainer: Trainer, out: Path, machine: str, held_out: tuple[float, float]) -> None:
    """`backbone.safetensors` and `provenance.json` of the weights as they are now."""
    path = out / "backbone.safetensors"
    save_backbone(path, trainer.clip, trainer.rows(), {"generator_version": GENERATOR_VERSION})
    digest = file_sha256(path)
    write_atomically(path.with_name(path.name + ".sha256"), f"{digest}  {path.name}\n".encode())
    about = {
        "backbone": trainer.backbone.model_dump(),
        "pretrain": asdict(trainer.config),
        "steps_done": trainer.step,
        "hours": round(trainer.hours, 3),
        "machine": machine,
        "pictures": len(trainer.bank.images),
        "train_families": list(TRAIN_FAMILIES),
        "held_out_families": list(HELD_OUT_FAMILIES),
        "held_out_patch_auroc": round(held_out[0], 4),
        "held_out_image_auroc": round(held_out[1], 4),
        "generator_version": GENERATOR_VERSION,
        "sha256": digest,
    }
    write_atomically(out / "provenance.json", (json.dumps(about, indent=1) + "\n").encode())


def pretrain_backbone(
    *,
    cache: Path,
    out: Path,
    steps: int,
    pictures: int,
    seed: int,
    device: str,
    machine: str,
    log_every: int = 50,
    export_minutes: float = 10.0,
) -> None:
    """Train the embedded backbone on generated pictures; run again with the same `cache` to go on.

    `out` gets `backbone.safetensors`, its `.sha256` and `provenance.json`, also on the way each `export_minutes`.
    """
    cv2.setNumThreads(torch.get_num_threads())
    bank = make_bank(cache, "train", pictures, EMBEDDED.image_size, TRAIN_SEED, TRAIN_FAMILIES)
    held = make_bank(cache, "held", 400, EMBEDDED.image_size, HELD_OUT_SEED, HELD_OUT_FAMILIES)
    trainer = Trainer(EMBEDDED, PretrainConfig(steps=steps, seed=seed), bank, device)
    state = cache / f"state-{seed}-{steps}"
    if (state / "state.json").is_file():
        trainer.resume(state)
    before = trainer.hours
    started = last_export = last_log = time.monotonic()
    losses: list[float] = []
    seen = 0
    while trainer.step < steps:
        loss, count = trainer.train_step()
        losses.append(loss)
        seen += count
        now = time.monotonic()
        if trainer.step % log_every == 0 or trainer.step == steps:
            logger.info(
                "step %d/%d loss %.4f %.1f images/s", trainer.step, steps, np.mean(losses), seen / (now - last_log)
            )
            losses, seen, last_log = [], 0, now
        if now - last_export > export_minutes * 60 or trainer.step == steps:
            scores = trainer.validate(held)
            logger.info("step %d held-out patch AUROC %.4f image AUROC %.4f", trainer.step, *scores)
            trainer.hours = before + (time.monotonic() - started) / 3600
            trainer.save(state)
            export(trainer, out, machine, scores)
            last_export = last_log = time.monotonic()
