"""Raw tokens -> the tokens that a memory keeps, and the whitening that goes with them."""

from __future__ import annotations

import torch
from torch import Tensor

from fbclip.memory.features import MemoryConfig
from fbclip.memory.whitening import Whitening, fit_whitening

_ROWS = 16_384


def whitened(tokens: Tensor, config: MemoryConfig, known: Whitening | None = None) -> tuple[Tensor, Whitening | None]:
    """Rows (M,F) of `memory_features`, any float type -> (M,F) float16, as they are for the cosine.

    By `known`, the whitening of a memory that they are added to, so that old and new ones can be compared; else by one
    fitted to them. Raises ValueError for no tokens.
    """
    if config.metric == "cosine":
        return tokens.half(), None
    whitening = known or fit_whitening(tokens)
    return torch.cat([whitening(part).half() for part in torch.split(tokens, _ROWS)]), whitening
