"""How far a tensor lies from a stored one, and the files that cases are stored in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fbclip.errors import WeightsError


@dataclass(frozen=True)
class Deviation:
    """One tensor's distance from the stored one. Forward cases: relative to its largest value."""

    name: str
    largest: float
    tolerance: float
    mean: float | None = None
    mean_tolerance: float | None = None

    @property
    def ok(self) -> bool:
        mean_ok = self.mean is None or self.mean_tolerance is None or self.mean <= self.mean_tolerance
        return self.largest <= self.tolerance and mean_ok


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file; raises WeightsError when it is no safetensors file."""
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such file") from error
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not readable: {str(error).splitlines()[0]}") from error


def relative_deviation(actual: Tensor, expected: Tensor) -> float:
    """max|actual − expected| / max|expected|; inf when the shapes differ or a number is not finite."""
    if actual.shape != expected.shape or not torch.isfinite(actual).all():
        return float("inf")
    scale = expected.abs().max().item()
    worst = (actual.double() - expected.double()).abs().max().item()
    return worst / scale if scale > 0 else worst
