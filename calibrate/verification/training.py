"""Golden training cases: three optimiser steps, their losses, gradients and the parameters after them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from calibrate.tuning.losses import tuning_losses
from calibrate.tuning.training import make_optimiser
from fbclip.artefacts.checkpoint import checkpoint_name, import_checkpoint
from fbclip.backbone.tower import load_backbone
from fbclip.errors import FbclipError
from fbclip.method.text import load_text_tower
from fbclip.verification.golden import Deviation, read_case, read_safetensors, relative_deviation

LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-4, 1e-3
# Its true gradient is zero (a softmax does not see a common shift), so only rounding would be compared.
SHIFT_PARAMETER = "token_selector.2.bias"


def verify_training(folder: Path) -> list[Deviation]:
    """Losses and outputs relative, gradients relative to each tensor's largest, parameters absolute."""
    case = read_case(folder)
    expected = read_safetensors(folder / "case.safetensors")
    if "train.losses" not in expected:
        raise FbclipError(f"{folder}: the case holds no training part")
    state = read_safetensors(folder / "backbone.safetensors")
    backbone = load_backbone(state, case.backbone(), case.image_size)
    tower = load_text_tower(state, case.backbone())
    head, fusion = import_checkpoint(folder / "checkpoint.pth", case.backbone(), case.method())
    own = dict(head.named_parameters()) | dict(fusion.named_parameters())
    named = {_stored_name(name): parameter for name, parameter in own.items()}
    optimiser = make_optimiser(own.values(), case.learning_rate, case.adam_betas)
    with torch.no_grad():
        views = list(head.views(backbone(expected["image"], head.config.feature_layers)))
    labels, masks = expected["train.labels"].float(), expected["train.masks"].squeeze(1).float()
    rows: list[list[float]] = []
    out: list[Deviation] = []
    for step in range(case.train_steps):
        prototypes = fusion(tower)
        output = head.score(views, prototypes, backbone.projection)
        temperature, scr = head.config.score.temperature, head.config.consistency
        losses = tuning_losses(output, prototypes, labels, masks, temperature, scr)
        optimiser.zero_grad()
        torch.autograd.backward(losses.total)
        if step == 0:
            out += _gradients(named, expected)
        optimiser.step()
        rows.append(losses.row())
    with torch.no_grad():
        after = head.score(views, fusion(tower), backbone.projection)
    actual = {
        "train.losses": torch.tensor(rows, dtype=torch.float64),
        "train.after_score": torch.sigmoid(after.image_margin),
        "train.after_map_grid": torch.sigmoid(after.grid_margin).unsqueeze(1),
    }
    # Each loss has a scale of its own, so each is compared by itself.
    for column in range(expected["train.losses"].shape[1]):
        pair = actual["train.losses"][:, column], expected["train.losses"][:, column]
        out.append(Deviation(f"train.losses[{column}]", relative_deviation(*pair), LOSS_TOLERANCE))
    for name in ("train.after_score", "train.after_map_grid"):
        out.append(Deviation(name, relative_deviation(actual[name], expected[name]), LOSS_TOLERANCE))
    limit = 2 * case.train_steps * case.learning_rate
    for name, tensor in sorted(expected.items()):
        if name.startswith("train.after."):
            value = _find(named, name.removeprefix("train.after.")).detach().reshape(tensor.shape)
            out.append(Deviation(name, (value - tensor).abs().max().item(), limit))
    return out


def _stored_name(own: str) -> str:
    stored = checkpoint_name(own)
    return f"prompt_learner.{stored}" if stored.startswith("ctx_") else stored


def _find(named: dict[str, torch.nn.Parameter], name: str) -> torch.nn.Parameter:
    if name not in named:
        raise FbclipError(f"the case names a parameter that this version does not have: {name}")
    return named[name]


def _gradients(named: dict[str, torch.nn.Parameter], expected: dict[str, Tensor]) -> list[Deviation]:
    out = []
    for name, tensor in sorted(expected.items()):
        if name.startswith("train.grad.") and not name.endswith(SHIFT_PARAMETER):
            gradient = _find(named, name.removeprefix("train.grad.")).grad
            deviation = float("inf") if gradient is None else relative_deviation(gradient.reshape(tensor.shape), tensor)
            out.append(Deviation(name, deviation, GRADIENT_TOLERANCE))
    return out
