"""Does this installation compute what it should? The package's own golden case on every device, in every precision.

What a new driver, GPU or version of torch is trusted by. In float32 every tensor is compared. In a lower precision
those that it reaches are, the blocks' tokens, FB-Attention and the outcome, with the head on the stored tokens: a
foreground mask is a comparison with a threshold, and one token that flips would hide everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fbclip.artefacts.checkpoint import import_checkpoint
from fbclip.backbone.config import Precision
from fbclip.backbone.tower import load_backbone
from fbclip.method.text import load_text_tower
from fbclip.runtime import TORCH_PRECISIONS, matrix_dtype, prepare_process, set_precision
from fbclip.verification.deviation import Deviation, read_safetensors, relative_deviation
from fbclip.verification.golden import read_case, verify_forward

CASE = Path(__file__).parent / "case"
ROUNDINGS = 8
"""A tensor of a lower precision may be so many of its roundings away, relative to the largest value; measured are 3."""


@dataclass(frozen=True)
class SelfTestRun:
    """One device and precision.

    worst: the tensor that uses the largest share of its tolerance; fault: why there is none.
    """

    device: str
    precision: Precision
    tensors: int = 0
    worst: Deviation | None = None
    fault: str | None = None

    @property
    def ok(self) -> bool:
        return self.worst is not None and self.worst.ok


def devices() -> list[str]:
    """The CPU and every GPU."""
    return ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]


def self_test(on: Sequence[str], case: Path = CASE) -> list[SelfTestRun]:
    """Every precision on every device of `on`; what a device cannot do is a fault of its run, not of the others."""
    prepare_process()
    return [_run(case, device, precision) for device in on for precision in TORCH_PRECISIONS]


def _run(case: Path, device: str, precision: Precision) -> SelfTestRun:
    try:
        rows = verify_forward(case, device) if precision == "float32" else _lower(case, device, precision)
    except RuntimeError as error:
        # What a driver or kernel says; a damaged case is an error of the installation and is raised.
        return SelfTestRun(device, precision, fault=str(error).splitlines()[0])
    return SelfTestRun(device, precision, len(rows), max(rows, key=lambda row: row.largest / row.tolerance))


@torch.inference_mode()
def _lower(folder: Path, device: str, precision: Precision) -> list[Deviation]:
    case, expected = read_case(folder), read_safetensors(folder / "case.safetensors")
    state = read_safetensors(folder / "backbone.safetensors")
    backbone = load_backbone(state, case.backbone(), case.image_size).to(device)
    tower = load_text_tower(state, case.backbone()).to(device)
    head, fusion = import_checkpoint(folder / "checkpoint.pth", case.backbone(), case.method())
    head, fusion = head.to(device).eval(), fusion.to(device).eval()
    set_precision(backbone, [head], precision)
    layers = head.config.feature_layers
    tokens = backbone(expected["image"].to(device), layers)
    found = {f"layer{k}.tokens": layer for k, layer in enumerate(tokens)}
    stored = [expected[name].to(device) for name in found]
    attended: dict[str, Tensor] = {}
    result = head(stored, fusion(tower), backbone.projection, attended.__setitem__)
    found |= {name: value for name, value in attended.items() if ".attended_" in name}
    rounding = torch.finfo(matrix_dtype(precision)).eps / 2
    rows = [_deviation(name, value, expected, ROUNDINGS * rounding) for name, value in found.items()]
    outcome = {
        "score": torch.sigmoid(result.image_margin),
        "map_grid": torch.sigmoid(result.grid_margin).unsqueeze(1),
    }
    return rows + [_deviation(name, value, expected, rounding) for name, value in outcome.items()]


def _deviation(name: str, value: Tensor, expected: dict[str, Tensor], tolerance: float) -> Deviation:
    return Deviation(name, relative_deviation(value.cpu(), expected[name]), tolerance)
