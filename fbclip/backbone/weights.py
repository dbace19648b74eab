"""Where the weights of a backbone come from: the package itself, a local file, or open_clip's download."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from open_clip.pretrained import download_pretrained_from_url
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fbclip.backbone.catalog import backbone_config, openai_download
from fbclip.backbone.config import EMBEDDED, EMBEDDED_1, BackboneConfig
from fbclip.backbone.tower import VISUAL_PREFIX, Backbone, load_backbone
from fbclip.errors import WeightsError
from fbclip.files import file_sha256, tensors_sha256

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

    `checked` None: there was none to compare with, which is usual for a .safetensors of one's own. An adapter names
    the tensors that it was tuned on, so the detector still refuses weights that are not those.
    """

    config: BackboneConfig
    path: Path
    checked: str | None = None

    def visual(self) -> dict[str, Tensor]:
        """Tensors of the image tower only; the text tower is not read into memory from safetensors."""
        return read_tensors(self.path, VISUAL_PREFIX)

    def all(self) -> dict[str, Tensor]:
        """Every tensor, for tuning."""
        return read_tensors(self.path, "")


def find_weights(backbone: str, local: Path | None = None) -> WeightsFile:
    """Locate the weights of `backbone`; raises WeightsError saying what to do when there are none.

    A file with a `<file>.sha256` beside it must match it, and OpenAI's own .pt OpenAI's checksum; any other
    .safetensors is taken as it is. A folder may hold the weights of several backbones, each named after its own:
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
    return WeightsFile(model.config, path, _check_sidecar(path))


def _local_weights(config: BackboneConfig, path: Path) -> WeightsFile:
    if path.is_dir():
        path = _in_folder(path, config.name)
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file for backbone {config.name}")
    checked = _check_sidecar(path)
    if path.suffix == ".pt":
        openai = openai_download(config.name)
        if openai is None:
            raise WeightsError(
                f"{path}: a .pt is an archive of code and is opened only when it is OpenAI's own by its checksum; "
                f"OpenAI published none for {config.name}, bring a .safetensors file"
            )
        checked = _check_sum(path, openai[1])
    return WeightsFile(config, path, checked)


def _downloaded_weights(config: BackboneConfig) -> WeightsFile:
    openai = openai_download(config.name)
    if openai is None:
        raise WeightsError(
            f"backbone {config.name} needs a local file of weights: name it as model.weights or --weights"
        )
    url, digest = openai
    try:
        path = Path(download_pretrained_from_url(url))
    except Exception as error:  # whatever the download library raises, the user's way out is the same
        raise WeightsError(
            f"backbone {config.name}: the download of OpenAI's weights failed ({type(error).__name__}); "
            f"fetch {url.rsplit('/', 1)[1]} elsewhere and name it as model.weights or --weights"
        ) from error
    return WeightsFile(config, path, _check_sum(path, digest))


def _in_folder(folder: Path, backbone: str) -> Path:
    found = sorted(p for p in folder.iterdir() if p.suffix in {".safetensors", ".pt"})
    named = [p for p in found if p.stem == backbone]
    if len(named) == 1 or len(found) == 1:
        return (named or found)[0]
    raise WeightsError(
        f"{folder}: needs {backbone}.safetensors, {backbone}.pt, or one weights file alone; found {len(found)} files"
    )


def _check_sidecar(path: Path) -> str | None:
    """The sha256 in `<file>.sha256`, which the file must have; None where there is no such sidecar."""
    sidecar = path.with_name(path.name + ".sha256")
    if not sidecar.is_file():
        return None
    words = sidecar.read_text(encoding="utf-8").split()
    return _check_sum(path, words[0] if words else "")


def _check_sum(path: Path, expected: str) -> str:
    actual = file_sha256(path)
    if actual != expected.lower():
        raise WeightsError(
            f"{path}: sha256 is {actual[:12]}…, expected {expected[:12]}…; the file is damaged or foreign"
        )
    return actual


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
