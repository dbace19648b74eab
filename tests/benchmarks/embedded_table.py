"""What the embedded model is worth zero-shot: `python -m tests.benchmarks.embedded_table [FOLDER...] [--weights FILE]`.

Each labelled set (any layout that `calibrate` reads) and generated families that neither backbone nor adapter trained
on, beside the first embedded model, the same network untrained, local contrast and spectral residual. All score the
same resized image, and the masks are resized with it. `peak` scores an image by the largest value of its map, `cls` by
the method's own score.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from calibrate.datasets import read_data
from calibrate.embedded.generator.scene import generate
from calibrate.embedded.pretraining.model import build_clip, shipped_state
from calibrate.metrics.ranking import auroc, average_precision
from calibrate.metrics.regions import aupro_exact
from calibrate.surfaces.families import TEST_FAMILIES
from calibrate.tuning.model import changed_method
from calibrate.tuning.parameters import LearnedModules, Tuned
from fbclip.artefacts.adapter import Adapter, load_adapter
from fbclip.backbone.config import EMBEDDED
from fbclip.backbone.tower import load_backbone
from fbclip.backbone.weights import EMBEDDED_DIR, EMBEDDED_MODELS, find_weights, open_backbone
from fbclip.detector import Detector, Job, open_detector
from fbclip.engines.torch_engine import TorchEngine
from fbclip.files import tensors_sha256
from fbclip.images.decode import read_image
from fbclip.images.framing import Framing
from fbclip.method.config import EMBEDDED_METHOD
from fbclip.method.model import Head
from fbclip.method.text import PromptFusion, load_text_tower

Array = NDArray[np.float32]
SIDE = EMBEDDED.image_size
TEST_SEED = 30_000_000
GENERATED_EACH = 50


@dataclass(frozen=True, eq=False)
class Labelled:
    """`image` uint8 RGB (H,W,3), `label` 1 for anomalous, `mask` bool (SIDE,SIDE) or None where there is none."""

    image: NDArray[np.uint8]
    label: int
    mask: NDArray[np.bool_] | None


def generated() -> Iterator[Labelled]:
    for k, family in enumerate(TEST_FAMILIES):
        for i in range(GENERATED_EACH):
            scene = generate(TEST_SEED + 1000 * k + i, SIDE, [family])
            yield Labelled(scene.image, scene.label, scene.mask)


def labelled(folder: Path) -> Iterator[Labelled]:
    for sample in read_data(folder).samples:
        if sample.split != "test" or sample.label is None:
            continue
        mask: NDArray[np.bool_] | None = None
        if sample.mask is not None:
            whole = cv2.imread(str(sample.mask), cv2.IMREAD_GRAYSCALE)
            assert whole is not None
            mask = cv2.resize((whole > 0).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) > 0.5
        elif not sample.label:
            mask = np.zeros((SIDE, SIDE), bool)
        yield Labelled(read_image(sample.path).image, int(sample.label), mask)


def small(image: NDArray[np.uint8]) -> Array:
    resized = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(resized.astype(np.float32) / 255, np.float32)


def local_contrast(image: NDArray[np.uint8]) -> Array:
    """Distance of each pixel's colour from its wide neighbourhood's."""
    x = small(image)
    return np.asarray(cv2.GaussianBlur(np.abs(x - cv2.GaussianBlur(x, (0, 0), 20)).mean(axis=2), (0, 0), 4))


def spectral_residual(image: NDArray[np.uint8]) -> Array:
    """Hou and Zhang (CVPR 2007), at their 64 px."""
    grey = cv2.resize(small(image).mean(axis=2), (64, 64), interpolation=cv2.INTER_AREA)
    spectrum = np.fft.fft2(grey)
    amplitude = np.log(np.abs(spectrum) + 1e-8).astype(np.float32)
    residual = amplitude - cv2.blur(amplitude, (3, 3))
    salient = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    return np.asarray(cv2.resize(cv2.GaussianBlur(salient.astype(np.float32), (0, 0), 2.5), (SIDE, SIDE)))


def untrained() -> Detector:
    """The embedded model's network and head as they are before any training."""
    torch.manual_seed(0)
    state = shipped_state(build_clip(EMBEDDED, torch.arange(EMBEDDED.vocab_size)))
    backbone = load_backbone(state, EMBEDDED, SIDE)
    digest = tensors_sha256({k: v.float() for k, v in state.items() if k.startswith("visual.")})
    fusion = PromptFusion(EMBEDDED, EMBEDDED_METHOD.text)
    with torch.no_grad():
        prototypes = fusion(load_text_tower(state, EMBEDDED))
    adapter = Tuned(LearnedModules(Head(EMBEDDED.width, EMBEDDED_METHOD), fusion), prototypes).adapter(
        digest, EMBEDDED, {}
    )
    return Detector(TorchEngine(backbone, digest, [adapter], torch.device("cpu")))


def without_contrast(weights: Path | None, folder: Path) -> Detector:
    """The embedded model with the paper's method alone."""
    backbone, digest = open_backbone(find_weights("embedded", weights), SIDE)
    shipped = load_adapter(folder)
    method = changed_method(shipped.manifest.method, None, ["contrast"])
    adapter = Adapter(shipped.manifest.model_copy(update={"method": method}), shipped.tensors, shipped.prototypes)
    return Detector(TorchEngine(backbone, digest, [adapter], torch.device("cpu")))


def model(detector: Detector) -> Callable[[NDArray[np.uint8]], tuple[float, Array]]:
    adapter = detector.adapters[0]
    sigma = detector.smoothing[adapter]

    def score(image: NDArray[np.uint8]) -> tuple[float, Array]:
        tiles = detector.frame(image, Framing()).tiles
        found = detector.infer([Job(tiles, adapter, sigma)])[0]
        return found.margin, found.map

    return score


def trivial(make: Callable[[NDArray[np.uint8]], Array]) -> Callable[[NDArray[np.uint8]], tuple[float, Array]]:
    def score(image: NDArray[np.uint8]) -> tuple[float, Array]:
        heat = make(image)
        return float(heat.max()), heat

    return score


def row(images: Sequence[Labelled], scorer: Callable[[NDArray[np.uint8]], tuple[float, Array]]) -> list[str]:
    cls, peaks, maps, masks = [], [], [], []
    for image in images:
        margin, heat = scorer(image.image)
        cls.append(margin)
        peaks.append(float(heat.max()))
        if image.mask is not None:
            maps.append(np.asarray(heat, np.float32))
            masks.append(image.mask)
    labels = np.array([p.label for p in images], bool)
    cells = [auroc(np.array(cls), labels), auroc(np.array(peaks), labels), average_precision(np.array(cls), labels)]
    stacked, true_pixels = np.stack(maps), np.stack(masks)
    pixels = true_pixels.any()
    cells.append(auroc(stacked.ravel(), true_pixels.ravel()) if pixels else None)
    cells.append(aupro_exact(stacked, true_pixels) if pixels else None)
    # How many normal images a line would have to bear for nine defects of ten.
    normal, anomalous = np.array(peaks)[~labels], np.array(peaks)[labels]
    cells.append(float((normal > np.quantile(anomalous, 0.1)).mean()))
    return ["n/a" if c is None else f"{c:.3f}" for c in cells]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--weights", type=Path, help="backbone.safetensors beside a folder `adapter`")
    arguments = parser.parse_args()
    adapter = arguments.weights.parent / "adapter" if arguments.weights else EMBEDDED_DIR / "adapter"
    scorers = {
        "embedded": model(open_detector("embedded", arguments.weights, [adapter], "cpu")),
        "without contrast": model(without_contrast(arguments.weights, adapter)),
        "first": model(open_detector("embedded", None, [EMBEDDED_MODELS[1].adapter], "cpu")),
        "untrained": model(untrained()),
        "local contrast": trivial(local_contrast),
        "spectral residual": trivial(spectral_residual),
    }
    write = sys.stdout.write
    head = ("set", "by", "AUROC cls", "AUROC peak", "AP", "pixel AUROC", "AUPRO", "normal above 90% recall")
    write(f"| {' | '.join(head)} |\n{'|---' * len(head)}|\n")
    sets: list[tuple[str, Callable[[], Iterator[Labelled]]]] = [("generated, held out", generated)]
    sets += [(folder.name, lambda f=folder: labelled(f)) for folder in arguments.folders]  # type: ignore[misc]
    for name, images in sets:
        labelled_images = list(images())
        for by, scorer in scorers.items():
            write(f"| {name} | {by} | {' | '.join(row(labelled_images, scorer))} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
