"""A pretraining run from its start or from where it stopped, with its curve; CPU or CUDA, alone or by torchrun."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.distributed as dist

from calibrate.embedded.image_bank import Bank, make_bank
from calibrate.embedded.model import begin_at, save_backbone
from calibrate.embedded.scene import GENERATOR_VERSION
from calibrate.embedded.trainer import PretrainConfig, PretrainingTrainer, Processes
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


def pretrain_backbone(
    *,
    cache: Path,
    out: Path,
    config: PretrainConfig,
    images: int,
    device: str,
    machine: str,
    backbone: BackboneConfig = EMBEDDED,
    base: Path | None = None,
    report_minutes: float = 8.0,
) -> None:
    """Train the embedded backbone on generated images; run again with the same `cache` to go on.

    `out` gets `backbone.safetensors`, its `.sha256` and `provenance.json` with the learning curve, also on the way
    each `report_minutes`. The curve is measured on families that the backbone does not train on. With `base`, a
    shipped weights file, the run goes on from there with a learning rate schedule of its own.
    """
    cv2.setNumThreads(torch.get_num_threads())
    with processes() as these:
        size, hands = backbone.image_size, torch.get_num_threads()
        first = TRAIN_SEED + TRAIN_SEEDS_EACH * config.seed
        if these.rank == 0:
            make_bank(cache, "train", images, size, first, TRAIN_FAMILIES, hands)
        if these.count > 1:
            dist.barrier()
        bank = make_bank(cache, "train", images, size, first, TRAIN_FAMILIES)
        if base is not None:
            config = replace(config, start_sha256=file_sha256(base))
        trainer = PretrainingTrainer(backbone, config, bank, device, these)
        state = cache / f"state-{config.seed}-{config.steps}"
        if (state / "state.json").is_file():
            trainer.resume(state)
        elif base is not None:
            begin_at(trainer.clip, read_tensors(base, ""))
        if these.rank == 0:
            held = make_bank(cache, "held", HELD_OUT_IMAGES, size, HELD_OUT_SEED, ADAPTER_FAMILIES, hands)
            _lead(trainer, held, state, out, machine, report_minutes)
        else:
            while trainer.step < config.steps:
                trainer.train_step()


def _lead(trainer: PretrainingTrainer, held: Bank, state: Path, out: Path, machine: str, report_minutes: float) -> None:
    """The training loop of the process that also logs, measures, saves and exports."""
    before, steps = trainer.hours, trainer.config.steps
    started = last_report = last_log = time.monotonic()
    losses: list[float] = []
    seen = 0
    while trainer.step < steps:
        loss, count = trainer.train_step()
        losses.append(loss)
        seen += count * trainer.processes.count
        now = time.monotonic()
        if trainer.step % LOG_EVERY == 0 or trainer.step == steps:
            rate = seen / (now - last_log)
            logger.info("step %d/%d loss %.4f %.1f images/s", trainer.step, steps, np.mean(losses[-LOG_EVERY:]), rate)
            seen, last_log = 0, now
        if now - last_report > report_minutes * 60 or trainer.step == steps:
            patch, image = trainer.validate(held)
            logger.info("step %d held-out patch AUROC %.4f image AUROC %.4f", trainer.step, patch, image)
            trainer.hours = before + (time.monotonic() - started) / 3600
            point = {
                "step": trainer.step,
                "hours": round(trainer.hours, 3),
                "loss": round(float(np.mean(losses)), 4),
                "patch_auroc": round(patch, 4),
                "image_auroc": round(image, 4),
            }
            trainer.save(state)
            with (state / "curve.jsonl").open("a", encoding="utf-8") as curve:
                curve.write(json.dumps(point) + "\n")
            export(trainer, out, machine, read_curve(state))
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
        "pictures": len(trainer.bank.images),
        "train_families": list(TRAIN_FAMILIES),
        "curve_families": list(ADAPTER_FAMILIES),
        "curve": curve,
        "generator_version": GENERATOR_VERSION,
        "sha256": digest,
    }
    write_atomically(out / "provenance.json", (json.dumps(about, indent=1) + "\n").encode())
