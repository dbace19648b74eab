"""Where the weights of a backbone come from: the package itself, a local file, or what was fetched."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fbclip.backbone.catalog import backbone_config, openai_download
from fbclip.backbone.config import EMBEDDED, EMBEDDED_1, BackboneConfig
from fbclip.backbone.fetch import fetch, weights_cache
from fbclip.backbone.sidecar import check_digest, read_digest
from fbclip.backbone.sources import weights_sources
from fbclip.backbone.tower import VISUAL_PREFIX, Backbone, load_backbone
from fbclip.errors import WeightsError
from fbclip.files import tensors_sha256

_WEIGHTS = Path(__file__).parents[1] / "weights"


@dataclass(frozen=True)
class EmbeddedModel:
    """A model inside the package: its folder, its shape, and the sha256 of its tensors."""

    folder: Path
    config: BackboneConfig
    sha256: str

    @property
    def adapter(self) -> Path:
        """The folder of its own adapter."""
        return self.folder / "adapter"


EMBEDDED_MODELS = (
    EmbeddedModel(_WEIGHTS / "embedded", EMBEDDED, "e589a72a77aa32585662d025163043cfac053a2b51f462ce23dfddee97852a3c"),
    EmbeddedModel(
        _WEIGHTS / "embedded-1", EMBEDDED_1, "509f1de121f574bcd23a5d0a47620fe018ae082514c3012a4be0ca6469e39681"
    ),
)
"""The newest first; `artefacts.generation` chooses."""
EMBEDDED_DIR = EMBEDDED_MODELS[0].folder


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights on this machine, the backbone it belongs to, and the sha256 that its bytes were checked with.

    `checked` None: there was none to compare with. An adapter names the tensors that it was tuned on, so the detector
    still refuses weights that are not those; where an adapter is made anew, `known` refuses them. `trusted`: nobody
    stated the digest, somebody vouched for the file.
    """

    config: BackboneConfig
    path: Path
    checked: str | None = None
    trusted: bool = False

    def known(self, trust: bool) -> WeightsFile:
        """The same, as something new may be made with it; raises WeightsError for an unknown file without `trust`."""
        if self.checked is not None:
            return self
        if not trust:
            raise WeightsError(
                f"{self.path}: nobody states its sha256, so it may be any file; `fbclip fetch {self.config.name}` "
                f"brings a checked one, a {self.path.name}.sha256 beside it is compared, --trust takes it as it is"
            )
        return replace(self, trusted=True)

    def visual(self) -> dict[str, Tensor]:
        """Tensors of the image tower only; the text tower is not read into memory from safetensors."""
        return read_tensors(self.path, VISUAL_PREFIX)

    def all(self) -> dict[str, Tensor]:
        """Every tensor, for tuning."""
        return read_tensors(self.path, "")


def find_weights(backbone: str, local: Path | None = None) -> WeightsFile:
    """Locate the weights of `backbone`; raises WeightsError saying what to do when there are none.

    A file with a `<file>.sha256` beside it must match it, and OpenAI's own .pt OpenAI's checksum; of any other
    .safetensors it is left open what it is (`WeightsFile.known`). Without a file, what was fetched is taken, and
    OpenAI's weights are fetched. A folder may hold the weights of several backbones, each named after its own:
    `ViT-L-14-336.safetensors`. Raises ConfigError for a backbone that is unknown or cannot carry the method.
    """
    config = backbone_config(backbone)
    if local is not None:
        return _local_weights(config, local)
    if backbone == EMBEDDED.name:
        return embedded_weights(EMBEDDED_MODELS[0])
    return _downloaded_weights(config)


def embedded_weights(model: EmbeddedModel) -> WeightsFile:
    """Raises WeightsError where they are missing or damaged."""
    path = model.folder / "backbone.safetensors"
    if not path.is_file():
        raise WeightsError("the embedded weights are missing from this installation; install the package again")
    digest = read_digest(path)
    return WeightsFile(model.config, path, None if digest is None else digest.sha256)


def _local_weights(config: BackboneConfig, path: Path) -> WeightsFile:
    if path.is_dir():
        path = _in_folder(path, config.name)
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file for backbone {config.name}")
    return _checked_file(config, path)


def _checked_file(config: BackboneConfig, path: Path) -> WeightsFile:
    digest = read_digest(path)
    if path.suffix == ".pt":
        openai = openai_download(config.name)
        if openai is None:
            raise WeightsError(
                f"{path}: a .pt is an archive of code and is opened only when it is OpenAI's own by its checksum; "
                f"OpenAI published none for {config.name}, bring a .safetensors file"
            )
        return WeightsFile(config, path, check_digest(path, openai[1]))
    return WeightsFile(config, path) if digest is None else WeightsFile(config, path, digest.sha256, digest.trusted)


def _downloaded_weights(config: BackboneConfig) -> WeightsFile:
    """From our cache, or open_clip's, which earlier versions filled; OpenAI's are fetched where they are missing."""
    openai = openai_download(config.name)
    for suffix in (".pt", ".safetensors"):
        path = weights_cache() / f"{config.name}{suffix}"
        if path.is_file():
            return _checked_file(config, path)
    if openai is None:
        raise WeightsError(
            f"backbone {config.name} needs a local file of weights: name it as model.weights or --weights, "
            f"or `fbclip fetch {config.name}`"
        )
    earlier = Path.home() / ".cache" / "clip" / openai[0].rsplit("/", 1)[1]
    if earlier.is_file():
        return _checked_file(config, earlier)
    try:
        return _checked_file(config, fetch(weights_sources(config), weights_cache()))
    except WeightsError as error:
        raise WeightsError(f"backbone {config.name}: {error}") from error


def _in_folder(folder: Path, backbone: str) -> Path:
    found = sorted(p for p in folder.iterdir() if p.suffix in {".safetensors", ".pt"})
    named = [p for p in found if p.stem == backbone]
    if len(named) == 1 or len(found) == 1:
        return (named or found)[0]
    raise WeightsError(
        f"{folder}: needs {backbone}.safetensors, {backbone}.pt, or one weights file alone; found {len(found)} files"
    )


def read_tensors(path: Path, prefix: str) -> dict[str, Tensor]:
    """Tensors whose name starts with `prefix` from .safetensors, or from OpenAI's TorchScript .pt.

    A .pt is opened only by a caller that has checked its checksum, since it is an archive of code.
    """
    try:
        if path.suffix == ".pt":
            script = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
            return {k: v.detach().float() for k, v in script.state_dict().items() if k.startswith(prefix)}
        with safe_open(path, framework="pt") as file:
            return {k: file.get_tensor(k) for k in file.keys() if k.startswith(prefix)}  # noqa: SIM118
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such file") from error
    except (SafetensorError, RuntimeError, OSError, zipfile.BadZipFile) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path}: not readable as weights: {first}") from error


def open_backbone(weights: WeightsFile, image_size: int) -> tuple[Backbone, str]:
    """(frozen float32 backbone, sha256 of its tensors); the digest does not depend on the file format."""
    tensors = weights.visual()
    digest = tensors_sha256(tensors)
    return load_backbone(tensors, weights.config, image_size), digest
