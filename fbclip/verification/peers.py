"""Golden cases of the compared methods: every tensor of a forward pass against ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.tower import Backbone, load_backbone
from fbclip.errors import FbclipError
from fbclip.frozen import shown, shown_field
from fbclip.method.maps import smooth_map, upsample
from fbclip.method.text import TextTower, load_text_tower
from fbclip.peers.afclip import AfClip
from fbclip.peers.anomalyclip import AnomalyClip
from fbclip.peers.checkpoints import (
    af_learned,
    anomaly_prompts,
    fine_prompts,
    linear_layers,
    read_peer_checkpoint,
)
from fbclip.peers.clipad import ClipAd, clipad_text
from fbclip.peers.config import (
    AfClipConfig,
    AnomalyClipConfig,
    ClipAdConfig,
    FaPromptConfig,
    PeerBase,
    VanillaConfig,
    WinClipConfig,
)
from fbclip.peers.faprompt import FaPrompt
from fbclip.peers.output import PeerOutput
from fbclip.peers.vanilla import Vanilla, vanilla_text
from fbclip.peers.winclip import WinClip, winclip_text
from fbclip.verification.deviation import Deviation, read_safetensors, relative_deviation

TRUNCATE = 4.0
DEFAULT_TOLERANCE = 1e-5
Tensors = dict[str, Tensor]


class PeerCase:
    """A case's folder, its case.json, and the frozen model that it names."""

    def __init__(self, folder: Path, raw: Mapping[str, Any], device: str) -> None:
        """Raises FbclipError naming the field that is wrong, WeightsError for the weights."""
        self.folder, self.raw, self.device = folder, raw, device
        state = read_safetensors(folder / str(raw.get("backbone", "backbone.safetensors")))
        self.config = self._backbone_config()
        self.size = self.number("image_size")
        self.backbone: Backbone = load_backbone(state, self.config, self.size).to(device)
        self.tower: TextTower = load_text_tower(state, self.config).to(device)
        self.tensors: Tensors = {k: v.to(device) for k, v in read_safetensors(folder / "case.safetensors").items()}
        if "image" not in self.tensors:
            raise FbclipError(f"{folder / 'case.safetensors'}: image is missing")

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pth"

    def number(self, name: str) -> Any:
        """A field that must be there."""
        if name not in self.raw:
            raise FbclipError(f"{self.folder / 'case.json'}: {name} is missing")
        return self.raw[name]

    def settings(self, kind: type[PeerBase], **known: Any) -> dict[str, Any]:
        """Those fields of `kind` that case.json has, and `known` ones."""
        own = {name: self.raw[name] for name in kind.model_fields if name in self.raw and name != "prompts"}
        return {**own, "image_size": self.size, **known}

    def _backbone_config(self) -> BackboneConfig:
        renamed = {"image_size": "backbone_image_size"}
        renamed |= {name: f"vision_{name}" for name in ("layers", "width", "heads")}
        own = {f: self.raw[renamed.get(f, f)] for f in BackboneConfig.model_fields if renamed.get(f, f) in self.raw}
        return BackboneConfig(**{**own, "name": "case"})


def peer_case(folder: Path, device: str = "cpu") -> PeerCase | None:
    """The case in `folder`; None where it is no case of a compared method. Raises FbclipError naming what is wrong."""
    path = folder / "case.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise FbclipError(f"{path}: cannot be read: {error}") from error
    if not isinstance(raw, dict) or "method" not in raw:
        return None
    if raw["method"] not in _FORWARD:
        raise FbclipError(f"{path}: method {shown(raw['method'])} is none of {', '.join(_FORWARD)}")
    with _named(path):
        return PeerCase(folder, raw, device)


class _named:
    """Turns a wrong field of case.json into an error of one line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            raise FbclipError(f"{self.path}: {shown_field(first['loc'])}: {first['msg']}") from error


def verify_peer(case: PeerCase) -> list[Deviation]:
    """Every tensor of the case but its input and its training. Raises FbclipError for one that we do not compute."""
    with torch.inference_mode(), _named(case.folder / "case.json"):
        actual = _FORWARD[case.raw["method"]](case)
    names = [n for n in case.tensors if n not in {"image", "reference"} and "train." not in n]
    missing = sorted(set(names) - actual.keys())
    if missing:
        raise FbclipError(f"{case.folder}: the case holds tensors that this version does not compute: {missing[:3]}")
    tolerance = float(case.raw.get("tolerance", DEFAULT_TOLERANCE))
    loose = {"text.dbscan": float(case.raw.get("text_dbscan_tolerance", tolerance))}
    return [
        Deviation(n, relative_deviation(actual[n].cpu(), case.tensors[n].cpu()), loose.get(n, tolerance)) for n in names
    ]


def _maps(out: Tensors, name: str, probability: Tensor, size: int, sigma: float) -> None:
    """A grid's map, before and after smoothing, under the names that cases give them."""
    out[f"{name}_upsampled"] = upsample(probability, size)
    out[f"{name}_smoothed"] = smooth_map(probability, size, sigma, TRUNCATE)


def _vanilla(case: PeerCase) -> Tensors:
    out: Tensors = {}
    for kind in ("plain", "ensemble"):
        config = VanillaConfig(**case.settings(VanillaConfig, prompts=kind))
        text = vanilla_text(config, case.tower)
        result = Vanilla(case.backbone, config, text)(case.tensors["image"], out.__setitem__)
        out[f"{kind}.text"] = text
        out[f"{kind}.score"] = torch.sigmoid(result.image_margin)
        out[f"{kind}.map_grid"] = torch.sigmoid(result.grid_margin)
        _maps(out, f"{kind}.map", out[f"{kind}.map_grid"], config.image_size, config.smoothing_sigma)
    return out


def _clipad(case: PeerCase) -> Tensors:
    out: Tensors = {}
    dbscan = case.raw.get("dbscan", {})
    known = {f"dbscan_{name}": dbscan[name] for name in ("eps", "min_samples") if name in dbscan}
    for kind in ("mean", "dbscan"):
        config = ClipAdConfig(**case.settings(ClipAdConfig, representative=kind, **known))
        out[f"text.{kind}"] = clipad_text(config, case.tower)
        # The last bits of float16 differ; what follows is compared on the stored ones.
        text = case.tensors.get(f"text.{kind}", out[f"text.{kind}"]) if kind == "dbscan" else out[f"text.{kind}"]
        found: Tensors = {}
        result = ClipAd(case.backbone, config, text)(case.tensors["image"], found.__setitem__)
        out |= {name: value for name, value in found.items() if name.startswith("layer")}
        out[f"{kind}.similarity"] = found["similarity"]
        out[f"{kind}.score"] = torch.sigmoid(result.image_margin)
        _maps(out, f"{kind}.map", result.grid_margin, config.image_size, config.smoothing_sigma)
        out[f"{kind}.score_map_max"] = out[f"{kind}.map_smoothed"].flatten(1).amax(dim=1)
    if case.checkpoint.is_file():
        config = ClipAdConfig(**case.settings(ClipAdConfig, **known))
        stored = read_peer_checkpoint(case.checkpoint)
        linear, config = linear_layers(stored, case.checkpoint, case.config, config)
        text = case.tensors.get("text.dbscan", out["text.dbscan"])
        result = ClipAd(case.backbone, config, text, linear.to(case.device))(case.tensors["image"], out.__setitem__)
        _maps(out, "plus.map", result.grid_margin, config.image_size, config.smoothing_sigma)
        out["plus.score_map_max"] = out["plus.map_smoothed"].flatten(1).amax(dim=1)
    return out


def _winclip(case: PeerCase) -> Tensors:
    out: Tensors = {}
    config = WinClipConfig(**case.settings(WinClipConfig))
    out["text"] = winclip_text(config, case.tower)
    zero = WinClip(case.backbone, config, out["text"])
    zero(case.tensors["image"], out.__setitem__)
    out["zero.map"] = upsample(out["zero.map_grid"], config.image_size)
    if "reference" not in case.tensors:
        return out
    few = WinClip(case.backbone, config, out["text"], zero.remember(case.tensors["reference"]))
    few(case.tensors["image"], out.__setitem__)
    out["few.map"] = upsample(out["zero.map_grid"] + out["few.map_grid"], config.image_size)
    normed = config.model_copy(update={"patches": "normed"})
    banks = WinClip(case.backbone, normed, out["text"]).remember(case.tensors["reference"])
    later: Tensors = {}
    WinClip(case.backbone, normed, out["text"], banks)(case.tensors["image"], later.__setitem__)
    out["postln.few.score"] = later["few.score"]
    out["postln.few.map"] = upsample((later["zero.map_grid"] + later["few.map_grid"]) / 2, config.image_size)
    return out


def _anomalyclip(case: PeerCase) -> Tensors:
    out: Tensors = {}
    known = {"deep_prompts": max(0, int(case.raw.get("deep_prompt_depth", 9)) - 1)}
    config = AnomalyClipConfig(**case.settings(AnomalyClipConfig, **known))
    stored = read_peer_checkpoint(case.checkpoint)
    prompts, config = anomaly_prompts(stored, case.checkpoint, case.config, config)
    out["text.features"] = prompts.to(case.device)(case.tower)
    result: PeerOutput = AnomalyClip(case.backbone, config, out["text.features"])(
        case.tensors["image"], out.__setitem__
    )
    out["score"] = torch.sigmoid(result.image_margin)
    grids = [out[f"layer{layer}.map_grid"] for layer in config.feature_layers]
    out |= {
        f"layer{layer}.map": upsample(grid, config.image_size)
        for layer, grid in zip(config.feature_layers, grids, strict=True)
    }
    for name, grid in (("multi", torch.stack(grids).sum(dim=0)), ("last", grids[-1])):
        out[f"map_{name}"] = upsample(grid, config.image_size)
        out[f"map_{name}_smoothed"] = smooth_map(grid, config.image_size, config.smoothing_sigma, TRUNCATE)
    return out


def _afclip(case: PeerCase) -> Tensors:
    out: Tensors = {}
    config = AfClipConfig(**case.settings(AfClipConfig))
    stored = read_peer_checkpoint(case.checkpoint)
    learned, config = af_learned(stored, case.checkpoint, case.config, config)
    learned = learned.to(case.device)
    out["text.features"] = learned.prompt(case.tower)
    zero = AfClip(case.backbone, config, out["text.features"], learned.adapter)
    result = zero(case.tensors["image"], out.__setitem__)
    out["score"] = torch.sigmoid(result.image_margin)
    grid = torch.sigmoid(result.grid_margin)
    out["map_grid"] = grid.unsqueeze(1)
    _maps(out, "map", grid, config.image_size, config.smoothing_sigma)
    if "reference" in case.tensors:
        banks = zero.remember(case.tensors["reference"])
        few = AfClip(case.backbone, config, out["text.features"], learned.adapter, banks)
        few(case.tensors["image"], out.__setitem__)
        _maps(out, "few.map", out["few.map_grid"].squeeze(1), config.image_size, config.smoothing_sigma)
    return out


def _faprompt(case: PeerCase) -> Tensors:
    out: Tensors = {}
    known = {"deep_prompts": max(0, int(case.raw.get("deep_prompt_depth", 9)) - 1)}
    config = FaPromptConfig(**case.settings(FaPromptConfig, **known))
    stored = read_peer_checkpoint(case.checkpoint)
    prompts, config = fine_prompts(stored, case.checkpoint, case.config, config)
    peer = FaPrompt(case.backbone, config, prompts.to(case.device), case.tower)
    result = peer(case.tensors["image"], out.__setitem__)
    out["score"] = torch.sigmoid(result.image_margin)
    for name in ("static", "adapted"):
        out[f"{name}.map"] = upsample(out[f"{name}.map_grid"], config.image_size)
    grid = torch.sigmoid(result.grid_margin)
    out["map"] = upsample(grid, config.image_size)
    out["map_smoothed"] = smooth_map(grid, config.image_size, config.smoothing_sigma, TRUNCATE)
    return out


_FORWARD: dict[str, Callable[[PeerCase], Tensors]] = {
    "vanilla": _vanilla,
    "clipad": _clipad,
    "winclip": _winclip,
    "anomalyclip": _anomalyclip,
    "afclip": _afclip,
    "faprompt": _faprompt,
}
