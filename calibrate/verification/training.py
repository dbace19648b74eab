"""Golden training cases: three optimiser steps, their losses, gradients and the parameters after them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from calibrate.tuning.losses import tuning_losses
from calibrate.tuning.training import make_optimiser
from fbclip.artefacts.checkpoint import checkpoint_name, import_checkpoint
from fbclip.backbone.tower import load_backbone
from fbclip.errors import FbclipError
from fbclip.method.text import load_text_tower
from fbclip.verification.deviation import Deviation, read_safetensors, relative_deviation
from fbclip.verification.golden import read_case

LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-4, 1e-3
# Its true gradient is zero (a softmax does not see a common shift), so only rounding would be compared.
SHIFT_PARAMETER = "token_selector.2.bias"


def verify_training(folder: Path) -> list[Deviation]:
    """Losses and outputs relative, gradients relative to each tensor's largest, parameters absolute.

    Raises FbclipError for a case without a training part or with parameters that this version does not have.
    """
    case = read_case(folder)
    expected = read_safetensors(folder / "case.safetensors")
    if "train.losses" not in expected:
        raise FbclipError(f"{folder}: the case holds no training part")
    state = read_safetensors(folder / "backbone.safetensors")
    backbone = load_backbone(state, case.backbone(), case.image_size)
    tower = load_text_tower(state, case.backbone())
    head, fusion = import_checkpoint(folder / "checkpoint.pth", case.backbone(), case.method())
    parameters = dict(head.named_parameters()) | dict(fusion.named_parameters())
    named = {_stored_name(name): parameter for name, parameter in parameters.items()}
    optimiser = make_optimiser(parameters.values(), case.learning_rate, case.adam_betas)
    with torch.no_grad():
        views = list(head.views(backbone(expected["image"], head.config.feature_layers)))
    labels, masks = expected["train.labels"].float(), expected["train.masks"].squeeze(1).float()
    temperature, consistency = head.config.score.temperature, head.config.consistency
    rows: list[list[float]] = []
    out: list[Deviation] = []
    for step in range(case.train_steps):
        prototypes = fusion(tower)
        output = head.score(views, prototypes, backbone.projection)
        losses = tuning_losses(output, prototypes, labels, masks, temperature, consistency)
        optimiser.zero_grad()
        torch.autograd.backward(losses.total)
        if step == 0:
            out += _compare_gradients(named, expected)
        optimiser.step()
        rows.append(losses.row())
    with torch.no_grad():
        after = head.score(views, fusion(tower), backbone.projection)
    outputs = {
        "train.after_score": torch.sigmoid(after.image_margin),
        "train.after_map_grid": torch.sigmoid(after.grid_margin).unsqueeze(1),
    }
    out += _compare_losses(torch.tensor(rows, dtype=torch.float64), expected["train.losses"])
    out += [Deviation(k, relative_deviation(v, expected[k]), LOSS_TOLERANCE) for k, v in outputs.items()]
    return out + _compare_parameters(named, expected, 2 * case.train_steps * case.learning_rate)


def _compare_gradients(named: Mapping[str, nn.Parameter], expected: Mapping[str, Tensor]) -> list[Deviation]:
    out = []
    for name, tensor in sorted(expected.items()):
        if name.startswith("train.grad.") and not name.endswith(SHIFT_PARAMETER):
            gradient = _find(named, name.removeprefix("train.grad.")).grad
            deviation = float("inf") if gradient is None else relative_deviation(gradient.reshape(tensor.shape), tensor)
            out.append(Deviation(name, deviation, GRADIENT_TOLERANCE))
    return out


def _compare_losses(actual: Tensor, expected: Tensor) -> list[Deviation]:
    """(steps, parts) each. Each part of the loss has a scale of its own, so each is compared by itself."""
    columns = enumerate(zip(actual.T, expected.T, strict=True))
    return [Deviation(f"train.losses[{k}]", relative_deviation(a, e), LOSS_TOLERANCE) for k, (a, e) in columns]


def _compare_parameters(
    named: Mapping[str, nn.Parameter], expected: Mapping[str, Tensor], tolerance: float
) -> list[Deviation]:
    out = []
    for name, tensor in sorted(expected.items()):
        if name.startswith("train.after."):
            value = _find(named, name.removeprefix("train.after.")).detach().reshape(tensor.shape)
            out.append(Deviation(name, (value - tensor).abs().max().item(), tolerance))
    return out


def _stored_name(own: str) -> str:
    stored = checkpoint_name(own)
    return f"prompt_learner.{stored}" if stored.startswith("ctx_") else stored


def _find(named: Mapping[str, nn.Parameter], name: str) -> nn.Parameter:
    if name not in named:
        raise FbclipError(f"the case names a parameter that this version does not have: {name}")
    return named[name]
