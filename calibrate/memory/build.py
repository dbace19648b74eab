"""Normal images -> a memory: candidates, outliers left out, coreset. After PatchCore (Roth et al., CVPR 2022)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from calibrate.datasets.leakage import seen_by
from calibrate.datasets.sample import Sample
from calibrate.errors import DataError, RefusedError
from calibrate.inference import Skips
from calibrate.memory.candidates import Candidates, gather, memory_tokens
from calibrate.memory.coreset import coreset
from calibrate.memory.outliers import MIN_UNITS, find_outliers
from calibrate.memory.provenance import check_framing, framing_record, images_record
from fbclip.artefacts.compatibility import check_memory, missing_layer
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


@dataclass(frozen=True, eq=False)
class MemoryRequest:
    """tokens: at most so many are kept; keep_outliers: they stay in the memory, but are listed all the same.

    base: a memory whose tokens are kept as well.
    """

    config: MemoryConfig
    tokens: int
    framing: Framing = field(default_factory=Framing)
    seed: int = 0
    keep_outliers: bool = False
    base: Memory | None = None


@dataclass(frozen=True, eq=False)
class BuiltMemory:
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
    request: MemoryRequest,
    skips: Skips,
    advance: Callable[[int], None] = lambda _: None,
) -> BuiltMemory:
    """A memory of the samples, and of what the request's base holds already; its images are not taken twice.

    Raises DataError without usable images, RefusedError for too many, ConfigError where the request cannot be met or
    the base was made in another way, MemoryBankError where it is for another model.
    """
    _check_request(request, detector)
    base = request.base
    new, notes = _new_samples(samples, base)
    raw = gather(detector, new, request.framing, request.config, request.seed, skips, advance)
    tokens, whitening = memory_tokens(raw.tokens, request.config, None if base is None else base.whitening)
    candidates = replace(raw, tokens=tokens)
    outliers = find_outliers(candidates, request.config.farthest, request.seed, None if base is None else base.tokens)
    if outliers.limit is None:
        notes.append(f"not searched for anomalous images: that takes {MIN_UNITS} units")
    out = () if request.keep_outliers else outliers.rows
    kept = candidates.of([row for row in range(len(candidates.samples)) if row not in out])
    tokens, positions = _with_base(kept, base)
    rows = _coreset_rows(tokens, positions, request)
    network = detector.network(request.config.features)
    provenance = {
        **framing_record(request.framing),
        "precision": detector.precision,
        "seed": request.seed,
        "candidates": len(tokens),
        "tokens": len(rows),
        "outlier_limit": outliers.limit,
        "outliers_kept": len(outliers.rows) - len(out),
        **images_record(kept.samples, [candidates.samples[row] for row in out], base),
    }
    manifest = MemoryManifest(
        backbone=network.name,
        backbone_sha256=network.sha256,
        image_size=detector.size,
        config=request.config,
        provenance=provenance,
    )
    memory = Memory(manifest, tokens[rows].contiguous(), positions[rows].contiguous(), whitening)
    check_memory(memory, network)
    return BuiltMemory(memory, kept.samples, tuple(outliers.lines(candidates.samples)), tuple(notes))


def _check_request(request: MemoryRequest, detector: Detector) -> None:
    config, network = request.config, detector.network(request.config.features)
    if not 1 <= request.tokens <= MAX_TOKENS:
        raise ConfigError(f"--tokens must lie between 1 and {MAX_TOKENS}, got {request.tokens}")
    if not set(config.layers) <= network.widths.keys():
        raise ConfigError(f"--layers: {missing_layer(config, network)}")
    width = feature_width(config, network)
    if config.metric == "mahalanobis" and width > MAX_WHITENED:
        raise ConfigError(
            f"--metric mahalanobis: tokens would have {width} numbers, at most {MAX_WHITENED} can be whitened; "
            "name fewer --layers or sides of --neighbourhood"
        )
    base = request.base
    if base is None:
        return
    # Tokens of another kind than those of the base could not be compared with them.
    if base.manifest.config != config:
        raise ConfigError(f"--add: the memory has {base.manifest.config}, asked for is {config}")
    check_memory(base, network)
    check_framing(base, request.framing)


def _new_samples(samples: Sequence[Sample], base: Memory | None) -> tuple[list[Sample], list[str]]:
    """(samples that the base has not seen, notes); raises DataError for none, RefusedError for too many."""
    seen = frozenset() if base is None else seen_by(base)
    new = [sample for sample in samples if sample.sha256 not in seen]
    if not new:
        raise DataError("no new normal images; a memory needs at least one")
    total = len(new) + len(seen)
    if total > MAX_IMAGES:
        raise RefusedError(f"{total} images, a memory takes at most {MAX_IMAGES}; use fewer with --units")
    known = len(samples) - len(new)
    return new, [f"{known} images were seen by the memory already"] if known else []


def _with_base(kept: Candidates, base: Memory | None) -> tuple[Tensor, Tensor]:
    """Tokens (M,F) and positions (M,2), those of the base first."""
    if base is None:
        return kept.tokens, kept.positions
    return torch.cat((base.tokens, kept.tokens)), torch.cat((base.positions.to(kept.positions.dtype), kept.positions))


def _coreset_rows(tokens: Tensor, positions: Tensor, request: MemoryRequest) -> Tensor:
    """int64 rows to keep. With a reach every position gets its own share, or one could be left without tokens."""
    if request.config.reach is None:
        return coreset(tokens, request.tokens, request.seed)
    distinct, position = torch.unique(positions, dim=0, return_inverse=True)
    each = request.tokens // len(distinct)
    if not each:
        raise ConfigError(f"--reach: {request.tokens} tokens are too few for {len(distinct)} positions; raise --tokens")
    parts = []
    for number in range(len(distinct)):
        rows = (position == number).nonzero()[:, 0]
        parts.append(rows[coreset(tokens[rows], each, request.seed)])
    return torch.cat(parts)
