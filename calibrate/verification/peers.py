"""Golden training steps of the compared methods: losses, first gradients, and parameters after the last step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from calibrate.tuning.afclip_learner import AfClipLearner
from calibrate.tuning.anomalyclip_learner import AnomalyClipLearner
from calibrate.tuning.faprompt_learner import FaPromptLearner
from calibrate.tuning.learner import Learner, together
from calibrate.tuning.peer_losses import clipad_losses, grid_masks
from calibrate.tuning.training import make_optimiser
from calibrate.verification.training import GRADIENT_TOLERANCE, LOSS_TOLERANCE
from fbclip.errors import FbclipError
from fbclip.peers.checkpoints import af_learned, anomaly_prompts, fine_prompts, linear_layers, read_peer_checkpoint
from fbclip.peers.config import AfClipConfig, AnomalyClipConfig, ClipAdConfig, FaPromptConfig
from fbclip.peers.vision import staged_path
from fbclip.verification.deviation import Deviation, relative_deviation
from fbclip.verification.peers import PeerCase


@dataclass(frozen=True, eq=False)
class GoldenSteps:
    """parameters: by the names that a case gives them; losses: one forward pass, the total first."""

    parameters: Mapping[str, nn.Parameter]
    losses: Callable[[], list[Tensor]]


def verify_peer_training(case: PeerCase) -> list[Deviation]:
    """Losses relative, gradients to each tensor's largest, parameters absolute.

    Raises FbclipError for a case without a training part.
    """
    prefixes = [prefix for prefix in ("train.", "fixed.train.") if f"{prefix}losses" in case.tensors]
    if not prefixes:
        raise FbclipError(f"{case.folder}: the case holds no training part")
    out = []
    if "train.mask_grid" in case.tensors:
        side = case.tensors["train.mask_grid"].shape[-1]
        ours = grid_masks(case.tensors["train.mask"].float(), side)
        out.append(Deviation("train.mask_grid", relative_deviation(ours, case.tensors["train.mask_grid"].float()), 0.0))
    for prefix in prefixes:
        out += _steps(case, prefix, _TRAINING[case.raw["method"]](case, prefix == "train."))
    return out


def _steps(case: PeerCase, prefix: str, golden: GoldenSteps) -> list[Deviation]:
    rate, count = float(case.number("learning_rate")), int(case.number("train_steps"))
    optimiser = make_optimiser(golden.parameters.values(), rate, tuple(case.number("adam_betas")))
    rows, out = [], []
    for step in range(count):
        losses = golden.losses()
        optimiser.zero_grad()
        torch.autograd.backward(losses[0])
        if step == 0:
            for name, expected in _below(case, f"{prefix}grad."):
                out.append(Deviation(f"{prefix}grad.{name}", _gradient(golden, name, expected), GRADIENT_TOLERANCE))
        optimiser.step()
        rows.append([float(part.detach()) for part in losses])
    expected = case.tensors[f"{prefix}losses"].double()
    for column, (ours, theirs) in enumerate(zip(torch.tensor(rows).double().T, expected.T, strict=True)):
        out.append(Deviation(f"{prefix}losses[{column}]", relative_deviation(ours, theirs), LOSS_TOLERANCE))
    for name, after in _below(case, f"{prefix}after."):
        value = golden.parameters[name].detach() if name in golden.parameters else torch.full_like(after, torch.inf)
        out.append(Deviation(f"{prefix}after.{name}", (value - after).abs().max().item(), 2 * count * rate))
    return out


def _gradient(golden: GoldenSteps, name: str, expected: Tensor) -> float:
    """The deviation of a gradient; a prompt that no text block is left for has none, which is 0."""
    if name not in golden.parameters:
        return float("inf")
    gradient = golden.parameters[name].grad
    return relative_deviation(torch.zeros_like(expected) if gradient is None else gradient, expected)


def _below(case: PeerCase, prefix: str) -> list[tuple[str, Tensor]]:
    return sorted((name.removeprefix(prefix), value) for name, value in case.tensors.items() if name.startswith(prefix))


def _masks(case: PeerCase) -> Tensor:
    return case.tensors["train.mask"].float()


def _labels(case: PeerCase) -> Tensor:
    return case.tensors["train.label"].float()


def _clipad(case: PeerCase, _released: bool) -> GoldenSteps:
    config = ClipAdConfig(**case.settings(ClipAdConfig))
    linear, config = linear_layers(read_peer_checkpoint(case.checkpoint), case.checkpoint, case.config, config)
    with torch.no_grad():
        layers = staged_path(case.backbone, case.tensors["image"], config.feature_layers)
    originals = [layers[n].original[:, 1:] for n in config.feature_layers]
    text = case.tensors["text.dbscan"]
    return GoldenSteps(
        dict(linear.named_parameters()), lambda: clipad_losses(linear.maps(originals, text, config), _masks(case))
    )


def _deep(case: PeerCase) -> dict[str, int]:
    return {"deep_prompts": max(0, int(case.raw.get("deep_prompt_depth", 9)) - 1)}


def _whole(learner: Learner, case: PeerCase) -> Callable[[], list[Tensor]]:
    """One forward pass of the learner that tuning uses, over all images of the case."""
    masks, labels = _masks(case), _labels(case)
    with torch.no_grad():
        features = learner.features(case.tensors["image"])

    def losses() -> list[Tensor]:
        shared = learner.shared()
        outputs = [learner.outputs(one, shared, masks[k : k + 1]) for k, one in enumerate(features)]
        return learner.losses(together(outputs), shared, labels, masks)

    return losses


def _anomalyclip(case: PeerCase, _released: bool) -> GoldenSteps:
    config = AnomalyClipConfig(**case.settings(AnomalyClipConfig, **_deep(case)))
    stored = read_peer_checkpoint(case.checkpoint)
    prompts, config = anomaly_prompts(stored, case.checkpoint, case.config, config)
    layers = tuple(case.raw.get("train_feature_layers", config.feature_layers[-1:]))
    learner = AnomalyClipLearner(case.backbone, case.tower, config, prompts, layers)
    return GoldenSteps(dict(prompts.named_parameters()), _whole(learner, case))


def _afclip(case: PeerCase, released: bool) -> GoldenSteps:
    config = AfClipConfig(**case.settings(AfClipConfig))
    learned, config = af_learned(read_peer_checkpoint(case.checkpoint), case.checkpoint, case.config, config)
    learner = AfClipLearner(case.backbone, case.tower, config, learned, released)
    names = {"to_out": "attention.attn.to_out.0", "norm": "attention.norm"}
    names |= {f"to_{n}": f"attention.attn.to_{n}" for n in "qkv"}
    parameters = {"state_prompt_embedding": learned.prompt.state_prompt_embedding}
    for name, parameter in learned.adapter.named_parameters():
        module, kind = name.rsplit(".", 1)
        parameters[f"adaptor.{names[module]}.{kind}"] = parameter
    return GoldenSteps(parameters, _whole(learner, case))


def _faprompt(case: PeerCase, _released: bool) -> GoldenSteps:
    config = FaPromptConfig(**case.settings(FaPromptConfig, **_deep(case)))
    stored = read_peer_checkpoint(case.checkpoint)
    prompts, config = fine_prompts(stored, case.checkpoint, case.config, config)
    learner = FaPromptLearner(case.backbone, case.tower, config, prompts)
    return GoldenSteps(dict(prompts.named_parameters()), _whole(learner, case))


_TRAINING: dict[str, Callable[[PeerCase, bool], GoldenSteps]] = {
    "clipad": _clipad,
    "anomalyclip": _anomalyclip,
    "afclip": _afclip,
    "faprompt": _faprompt,
}
