"""Pretraining of the backbone from its start or from where it stopped, with its curve; alone or by torchrun."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.distributed as dist

from calibrate.defects.kinds import GENERATOR_VERSION
from calibrate.embedded.pretraining.config import PretrainConfig, Processes
from calibrate.embedded.pretraining.generated_images import GeneratedImages, ImageRecipe, load_or_generate
from calibrate.embedded.pretraining.initialization import initialize_from_file
from calibrate.embedded.pretraining.model import save_backbone
from calibrate.embedded.pretraining.trainer import PretrainingTrainer, held_out_aurocs
from calibrate.surfaces.families import ADAPTER_FAMILIES, TRAIN_FAMILIES
from fbclip.backbone.config import EMBEDDED, BackboneConfig
from fbclip.backbone.weights import read_tensors
from fbclip.files import file_sha256, write_atomically

logger = logging.getLogger(__name__)
TRAIN_SEED = 2_000_000
TRAIN_SEEDS_EACH = 100_000_000
"""Another seed of a run draws other images, so that training that goes on sees new ones."""
HELD_OUT_SEED = 9_000_000
HELD_OUT_IMAGES = 400
LOG_EVERY = 50
"""Steps between two lines of the log."""


@contextmanager
def processes() -> Iterator[Processes]:
    """What torchrun says of this process, with the others joined; one alone without torchrun."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Processes(dist.get_rank(), count)
    finally:
        dist.destroy_process_group()


@dataclass(frozen=True)
class PretrainRequest:
    """What a backbone is trained on, where, and where it goes.

    `cache` keeps the `images` generated images and the state of the run; run again with the same one to go on.
    `out` gets `backbone.safetensors`, its `.sha256` and `provenance.json` with the learning curve, also on the way
    each `report_minutes`. With `base`, a shipped weights file, the run goes on from there with a learning rate
    schedule of its own.
    """

    cache: Path
    out: Path
    config: PretrainConfig
    images: int
    device: str = "cpu"
    machine: str = "CPU"
    base: Path | None = None
    backbone: BackboneConfig = EMBEDDED
    report_minutes: float = 8.0


def pretrain_backbone(request: PretrainRequest) -> None:
    """Train the backbone on generated images, or go on; its curve is measured on families that it does not train on.

    Raises TrainingError for a state or a base of another run or architecture.
    """
    num_threads = torch.get_num_threads()
    cv2.setNumThreads(num_threads)
    config, size = request.config, request.backbone.image_size
    first_seed = TRAIN_SEED + TRAIN_SEEDS_EACH * config.seed
    recipe = ImageRecipe(request.images, size, first_seed, TRAIN_FAMILIES)
    with processes() as these:
        if these.rank == 0:
            load_or_generate(request.cache, "train", recipe, num_threads)
        if these.count > 1:
            dist.barrier()
        data = load_or_generate(request.cache, "train", recipe)
        if request.base is not None:
            config = replace(config, start_sha256=file_sha256(request.base))
        trainer = PretrainingTrainer(request.backbone, config, data, request.device, these)
        state = request.cache / f"state-{config.seed}-{config.steps}"
        if (state / "state.json").is_file():
            trainer.resume(state)
        elif request.base is not None:
            initialize_from_file(trainer.clip, read_tensors(request.base, ""))
        if these.rank == 0:
            held_out = ImageRecipe(HELD_OUT_IMAGES, size, HELD_OUT_SEED, ADAPTER_FAMILIES)
            _lead(trainer, load_or_generate(request.cache, "held", held_out, num_threads), state, request)
        else:
            while trainer.step < config.steps:
                trainer.train_step()


def _lead(trainer: PretrainingTrainer, held_out: GeneratedImages, state: Path, request: PretrainRequest) -> None:
    """The training loop of the process that also logs, measures, saves and exports."""
    before, steps = trainer.hours, trainer.config.steps
    started = last_report = last_log = time.monotonic()
    losses: list[float] = []
    n_images = 0
    while trainer.step < steps:
        loss, count = trainer.train_step()
        losses.append(loss)
        n_images += count * trainer.processes.count
        now = time.monotonic()
        if trainer.step % LOG_EVERY == 0 or trainer.step == steps:
            rate = n_images / (now - last_log)
            logger.info("step %d/%d loss %.4f %.1f images/s", trainer.step, steps, np.mean(losses[-LOG_EVERY:]), rate)
            n_images, last_log = 0, now
        if now - last_report > request.report_minutes * 60 or trainer.step == steps:
            found = held_out_aurocs(trainer, held_out)
            logger.info("step %d held-out patch AUROC %.4f image AUROC %.4f", trainer.step, found.patch, found.image)
            trainer.hours = before + (time.monotonic() - started) / 3600
            point = {
                "step": trainer.step,
                "hours": round(trainer.hours, 3),
                "loss": round(float(np.mean(losses)), 4),
                "patch_auroc": round(found.patch, 4),
                "image_auroc": round(found.image, 4),
            }
            trainer.save(state)
            with (state / "curve.jsonl").open("a", encoding="utf-8") as curve:
                curve.write(json.dumps(point) + "\n")
            export(trainer, request.out, request.machine, read_curve(state))
            losses = []
            last_report = last_log = time.monotonic()


def read_curve(state: Path) -> list[dict[str, float]]:
    """The points of the learning curve so far."""
    return [json.loads(line) for line in (state / "curve.jsonl").read_text(encoding="utf-8").splitlines()]


def export(trainer: PretrainingTrainer, out: Path, machine: str, curve: list[dict[str, float]]) -> None:
    """`backbone.safetensors` and `provenance.json` of the weights as they are now."""
    path = out / "backbone.safetensors"
    save_backbone(path, trainer.clip, {"generator_version": GENERATOR_VERSION})
    digest = file_sha256(path)
    write_atomically(path.with_name(path.name + ".sha256"), f"{digest}  {path.name}\n".encode())
    about = {
        "backbone": trainer.backbone.model_dump(),
        "pretrain": asdict(trainer.config),
        "processes": trainer.processes.count,
        "steps_done": trainer.step,
        "hours": round(trainer.hours, 3),
        "machine": machine,
        "pictures": len(trainer.data.images),
        "train_families": list(TRAIN_FAMILIES),
        "curve_families": list(ADAPTER_FAMILIES),
        "curve": curve,
        "generator_version": GENERATOR_VERSION,
        "sha256": digest,
    }
    write_atomically(out / "provenance.json", (json.dumps(about, indent=1) + "\n").encode())
