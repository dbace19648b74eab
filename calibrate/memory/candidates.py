"""Images -> candidate tokens of a memory, within a bound on their number however many images there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from calibrate.datasets.sample import Sample
from calibrate.defects.on_images import Item
from calibrate.errors import DataError
from calibrate.inference import NOT_FINITE, FramedItem, Skipped, Skips, frame_item
from fbclip.detector import ROWS_AT_ONCE, Detector
from fbclip.images.framing import Framing
from fbclip.memory.features import MemoryConfig, feature_width, memory_features
from fbclip.memory.whitening import Whitening, fit_whitening

MAX_CANDIDATES = 200_000
MAX_CANDIDATE_BYTES = 1 << 30
"""The fewer of the two: tokens of a ViT-L are 2 to 8 kB each."""
_ROWS = 16_384
"""Tokens that are whitened at once, in float32."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """tokens (M,F) float16; positions (M,2) uint8, row and column of the patch; owner (M,) int64, row of `samples`."""

    tokens: Tensor
    positions: Tensor
    owner: Tensor
    samples: tuple[Sample, ...]

    def of(self, kept: Sequence[int]) -> Candidates:
        """Those of the rows `kept` of `samples` only."""
        wanted = torch.zeros(len(self.samples), dtype=torch.bool)
        wanted[list(kept)] = True
        rows = wanted[self.owner]
        new = torch.cumsum(wanted, 0) - 1
        samples = tuple(self.samples[i] for i in kept)
        return Candidates(self.tokens[rows], self.positions[rows], new[self.owner[rows]], samples)


def gather(
    detector: Detector,
    samples: Sequence[Sample],
    framing: Framing,
    config: MemoryConfig,
    seed: int,
    skips: Skips,
    advance: Callable[[int], None],
) -> Candidates:
    """Raw tokens of every sample; where all would be too many, the same number of each, drawn from `seed`.

    `skips` says what becomes of images that the agent would reject. Raises DataError when none is left.
    """
    network = detector.network(config.features)
    side = network.grid
    tiles = 1 if framing.tiling is None else framing.tiling.columns * framing.tiling.rows
    width = feature_width(config, network)
    share = _share(len(samples), tiles * side * side, width)
    grid = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"), dim=-1).reshape(-1, 2)
    grid = grid.to(torch.uint8).repeat(tiles, 1)
    tokens: list[Tensor] = []
    positions: list[Tensor] = []
    used: list[Sample] = []
    for sample, found in skips.rest(_tokens_of_each(detector, samples, framing, config, advance)):
        # Drawn from the image's bytes, so that other images do not change which of its tokens are taken.
        rng = np.random.default_rng((seed, int(sample.sha256[:16], 16)))
        rows = torch.from_numpy(np.sort(rng.permutation(len(found))[:share]))
        tokens.append(found[rows])
        positions.append(grid[rows])
        used.append(sample)
    if not used:
        raise DataError("no usable normal image is left; a memory needs at least one")
    owner = torch.repeat_interleave(torch.arange(len(used)), torch.tensor([len(t) for t in tokens]))
    return Candidates(torch.cat(tokens), torch.cat(positions), owner, tuple(used))


def _tokens_of_each(
    detector: Detector,
    samples: Sequence[Sample],
    framing: Framing,
    config: MemoryConfig,
    advance: Callable[[int], None],
) -> Iterator[tuple[Sample, Tensor] | Skipped]:
    """Every sample with its tokens (T·L,F), one at a time."""
    for sample in samples:
        framed = frame_item(Item(sample), partial(detector.frame, framing=framing), framing.window)
        if isinstance(framed, FramedItem):
            found = image_tokens(detector, framed.framed.network_input, config)
            yield (sample, found) if torch.isfinite(found).all() else Skipped(sample, NOT_FINITE)
        else:
            yield framed
        advance(1)


def image_tokens(detector: Detector, tiles: Tensor, config: MemoryConfig) -> Tensor:
    """Network input (T,3,S,S) of one image -> its tokens (T·L,F) float16 on the CPU."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(tiles), ROWS_AT_ONCE):
            layers = detector.memory_layers(tiles[start : start + ROWS_AT_ONCE], config)
            parts.append(memory_features(layers, config).half().cpu())
    # A copy that autograd may see: tensors made in inference mode cannot be saved for anything later.
    return torch.cat(parts).flatten(0, 1).clone()


def memory_tokens(raw: Tensor, config: MemoryConfig, known: Whitening | None = None) -> tuple[Tensor, Whitening | None]:
    """Rows (M,F) of `memory_features`, any float type -> (M,F) float16 as a memory compares them, and its whitening.

    For the cosine they stay as they are. Else they are whitened by `known`, the whitening of a memory that they are
    added to, so that old and new ones can be compared, or by one fitted to them. Raises ValueError for no tokens.
    """
    if config.metric == "cosine":
        return raw.half(), None
    whitening = known or fit_whitening(raw)
    return torch.cat([whitening(part).half() for part in torch.split(raw, _ROWS)]), whitening


def _share(images: int, tokens: int, width: int) -> int:
    """Tokens to keep of each image."""
    limit = min(MAX_CANDIDATES, MAX_CANDIDATE_BYTES // (2 * width))
    return max(1, min(tokens, limit // max(1, images)))
