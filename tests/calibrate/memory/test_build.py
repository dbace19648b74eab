"""Memories from real files: anomalous images left out, added images, and what is refused."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from calibrate.datasets.leakage import seen_by
from calibrate.datasets.reader import read_data
from calibrate.embedded.samples.files import write_png
from calibrate.embedded.samples.products import inbox_part
from calibrate.errors import DataError
from calibrate.inference import Skips
from calibrate.memory.build import MemoryRequest, build_memory
from fbclip.backbone.config import EMBEDDED
from fbclip.detector import Job
from fbclip.errors import ConfigError, MemoryBankError
from fbclip.images.framing import Framing
from fbclip.images.geometry import Roi
from fbclip.memory.features import MemoryConfig, default_config

CONFIG = MemoryConfig(layers=(2, 4))
BOTH = pytest.mark.parametrize("config", [CONFIG, default_config(EMBEDDED)])


def build(detector, samples, tokens=500, config=CONFIG, **more):
    return build_memory(detector, samples, MemoryRequest(config, tokens, **more), Skips())


@BOTH
def test_anomalous_image_is_far_from_its_memory(detector, normal, config):
    made = build(detector, read_data(normal).samples, config=config).memory
    asked = detector.extended(memories=[made])

    def distance(defect):
        framed = asked.frame(inbox_part(77, defect).image, Framing())
        return asked.infer_terms([Job(framed.tiles, asked.adapters[0], 4.0, memory=made.id)])[0].distance_image

    assert min(distance(d) for d in ("hole", "crack", "stain")) > 1.5 * distance(None)


@BOTH
def test_anomalous_images_among_the_normal_are_found_and_left_out(detector, normal, tmp_path, config):
    folder = tmp_path / "mixed"
    shutil.copytree(normal / "good", folder)
    for k, defect in enumerate(("hole", "stain")):
        write_png(folder / f"bad{k}.png", inbox_part(900 + k, defect).image)
    samples = read_data(folder).samples
    built = build(detector, samples, config=config)
    assert {name.split(":")[0].rsplit("/", 1)[1] for name in built.outliers} == {"bad0.png", "bad1.png"}
    assert len(built.used) == 12
    assert len(built.memory.manifest.provenance["outliers"]) == 2
    assert seen_by(built.memory) == {s.sha256 for s in samples}
    kept = build(detector, samples, config=config, keep_outliers=True)
    assert len(kept.outliers) == 2
    assert len(kept.used) == 14
    few = build(detector, [s for s in samples if "bad" in s.path.name])
    assert not few.outliers
    assert "takes 8 units" in few.notes[0]


def test_units_of_several_images_do_not_vouch_for_themselves(detector, normal, tmp_path):
    """Two frames of one anomalous part: each would be near the other."""
    folder = tmp_path / "parts"
    folder.mkdir()
    for number, path in enumerate(sorted((normal / "good").iterdir())):
        shutil.copy(path, folder / f"p{number:02d}_1.png")
    for frame in (1, 2):
        image = inbox_part(901, "hole").image
        write_png(folder / f"p99_{frame}.png", np.clip(image.astype(int) + frame, 0, 255).astype(np.uint8))
    built = build(detector, read_data(folder, unit_from=r"p(\d+)").samples)
    assert sum("p99_" in line for line in built.outliers) == 2
    assert len(built.outliers) == 2


@BOTH
def test_adding_keeps_what_was_known(detector, normal, config):
    samples = read_data(normal).samples
    first = build(detector, samples[:6], config=config).memory
    added = build(detector, samples, base=first, config=config)
    assert "6 images were seen by the memory already" in added.notes
    assert set(added.memory.manifest.provenance["pictures"]) == {s.sha256 for s in samples}
    assert len(added.memory.manifest.provenance["data_sha256"]) == 2
    assert len(added.memory.tokens) == 500
    with pytest.raises(DataError, match="no new normal images"):
        build(detector, samples[:6], base=first, config=config)
    with pytest.raises(ConfigError, match="--add"):
        build(detector, samples, base=first, config=MemoryConfig(layers=(2,)))
    with pytest.raises(ConfigError, match="--roi"):
        build(detector, samples, base=first, config=config, framing=Framing(roi=Roi(x1=0, y1=0, x2=0.5, y2=1)))
    foreign = replace(first, manifest=first.manifest.model_copy(update={"image_size": 512}))
    with pytest.raises(MemoryBankError, match="512 px"):
        build(detector, samples, base=foreign, config=config)


def test_reach_leaves_no_position_without_tokens(detector, normal):
    made = build(detector, read_data(normal).samples[:4], 600, MemoryConfig(layers=(2,), reach=0)).memory
    assert len(torch.unique(made.positions, dim=0)) == 256
    assert len(made.tokens) == 512
