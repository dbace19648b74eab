"""Normal images -> a memory: candidates, outliers left out, coreset. After PatchCore (Roth et al., CVPR 2022)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from calibrate.datasets.sample import Sample
from calibrate.errors import DataError, RefusedError
from calibrate.inference import Skips
from calibrate.memory.candidates import Candidates, gather
from calibrate.memory.coreset import coreset
from calibrate.memory.outliers import MIN_UNITS, find_outliers, outlier_words
from calibrate.memory.provenance import check_framing, framing_record, images_record, seen_by
from calibrate.memory.whitened import whitened
from fbclip.artefacts.compatibility import check_memory
from fbclip.backbone.config import EMBEDDED, BackboneConfig
from fbclip.detector import Detector
from fbclip.errors import ConfigError
from fbclip.images.framing import Framing
from fbclip.memory.bank import Memory, MemoryManifest
from fbclip.memory.features import MemoryConfig, feature_width

MAX_TOKENS = 100_000
MAX_WHITENED = 4096
"""Numbers a whitened token has at most: its whitening has the square of them."""
MAX_IMAGES = 12_000
"""A memory lists all of them in its manifest, whose size is bounded."""


@dataclass(frozen=True)
class MemoryRequest:
    """tokens: at most so many are kept; keep_outliers: they stay in the memory, but are listed all the same."""

    config: MemoryConfig
    tokens: int
    seed: int = 0
    keep_outliers: bool = False


@dataclass(frozen=True, eq=False)
class Built:
    """used: the new images in the memory; outliers: one line each; notes: what else the user should know."""

    memory: Memory
    used: tuple[Sample, ...]
    outliers: tuple[str, ...]
    notes: tuple[str, ...]


def default_tokens(backbone: BackboneConfig) -> int:
    """The embedded backbone has 256 patches an image and gains nothing from more than 2,000 to 4,000 tokens."""
    return 4096 if backbone.name == EMBEDDED.name else 10_000


def build_memory(
    detector: Detector,
    samples: Sequence[Sample],
    framing: Framing,
    plan: MemoryRequest,
    skips: Skips,
    advance: Callable[[int], None] = lambda _: None,
    base: Memory | None = None,
) -> Built:
    """A memory of the samples, and of what `base` holds already; its images are not taken twice.

    Raises DataError without usable images, RefusedError for too many, ConfigError where the plan cannot be run or
    `base` was made in another way, MemoryBankError where it is for another model.
    """
    _check_plan(plan, detector.backbone.config)
    new, notes = list(samples), []
    if base is not None:
        check_base(base, detector, framing, plan.config)
        new = [s for s in samples if s.sha256 not in seen_by(base)]
        if len(new) < len(samples):
            notes.append(f"{len(samples) - len(new)} images were seen by the memory already")
    if not new:
        raise DataError("no new normal images; a memory needs at least one")
    total = len(new) + (0 if base is None else len(seen_by(base)))
    if total > MAX_IMAGES:
        raise RefusedError(f"{total} images, a memory takes at most {MAX_IMAGES}; use fewer with --units")
    found = gather(detector, new, framing, plan.config, plan.seed, skips, advance)
    tokens, whitening = whitened(found.tokens, plan.config, None if base is None else base.whitening)
    found = replace(found, tokens=tokens)
    outliers = find_outliers(found, plan.seed, None if base is None else base.tokens)
    if outliers.limit is None:
        notes.append(f"not searched for anomalous images: that takes {MIN_UNITS} units")
    out = set() if plan.keep_outliers else set(outliers.rows)
    kept = found.of([row for row in range(len(found.samples)) if row not in out])
    tokens, positions = _with_base(kept, base)
    rows = _chosen(tokens, positions, plan)
    provenance = {
        **framing_record(framing),
        "precision": detector.precision,
        "seed": plan.seed,
        "candidates": len(tokens),
        "tokens": len(rows),
        "outlier_limit": outliers.limit,
        "outliers_kept": len(outliers.rows) - len(out),
        **images_record(kept.samples, [found.samples[row] for row in out], base),
    }
    manifest = MemoryManifest(
        backbone=detector.backbone.config.name,
        backbone_sha256=detector.backbone_sha256,
        image_size=detector.size,
        config=plan.config,
        provenance=provenance,
    )
    memory = Memory(manifest, tokens[rows].contiguous(), positions[rows].contiguous(), whitening)
    check_memory(memory, detector.backbone.config, detector.backbone_sha256, detector.size)
    names = [str(sample.path) for sample in found.samples]
    return Built(memory, kept.samples, tuple(outlier_words(outliers, names)), tuple(notes))


def check_base(base: Memory, detector: Detector, framing: Framing, config: MemoryConfig) -> None:
    """Raises MemoryBankError or ConfigError where new tokens would be of another kind than those of `base`."""
    check_memory(base, detector.backbone.config, detector.backbone_sha256, detector.size)
    if base.manifest.config != config:
        raise ConfigError(f"--add: the memory has {base.manifest.config}, asked for is {config}")
    check_framing(base, framing)


def _check_plan(plan: MemoryRequest, backbone: BackboneConfig) -> None:
    if not 1 <= plan.tokens <= MAX_TOKENS:
        raise ConfigError(f"--tokens must lie between 1 and {MAX_TOKENS}, got {plan.tokens}")
    if plan.config.layers[-1] > backbone.layers:
        raise ConfigError(f"--layers: block {plan.config.layers[-1]}, but {backbone.name} has {backbone.layers}")
    width = feature_width(plan.config, backbone)
    if plan.config.metric == "mahalanobis" and width > MAX_WHITENED:
        raise ConfigError(
            f"--metric mahalanobis: tokens would have {width} numbers, at most {MAX_WHITENED} can be whitened; "
            "name fewer --layers or sides of --neighbourhood"
        )


def _with_base(kept: Candidates, base: Memory | None) -> tuple[Tensor, Tensor]:
    if base is None:
        return kept.tokens, kept.positions
    return torch.cat((base.tokens, kept.tokens)), torch.cat((base.positions.to(kept.positions.dtype), kept.positions))


def _chosen(tokens: Tensor, positions: Tensor, plan: MemoryRequest) -> Tensor:
    """Rows of the coreset. With a reach every place gets its own share, or a place could be left without tokens."""
    if plan.config.reach is None:
        return coreset(tokens, plan.tokens, plan.seed)
    found, place = torch.unique(positions, dim=0, return_inverse=True)
    each = plan.tokens // len(found)
    if not each:
        raise ConfigError(f"--reach: {plan.tokens} tokens are too few for {len(found)} places; raise --tokens")
    parts = []
    for number in range(len(found)):
        rows = (place == number).nonzero()[:, 0]
        parts.append(rows[coreset(tokens[rows], each, plan.seed)])
    return torch.cat(parts)
