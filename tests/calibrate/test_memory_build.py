"""Memories from real files: coreset, outliers, adding, and what is refused."""

import itertools
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from calibrate.commands.memory import memory
from calibrate.datasets import read_data
from calibrate.embedded.samples.files import write_calibration, write_png
from calibrate.embedded.samples.lines import GeneratedLine, write_line
from calibrate.embedded.samples.products import inbox_part
from calibrate.errors import DataError, RefusedError
from calibrate.inference import Skips
from calibrate.memory import candidates
from calibrate.memory.build import MemoryRequest, build_memory
from calibrate.memory.coreset import coreset
from calibrate.memory.outliers import RATE, robust_limit
from calibrate.memory.provenance import seen_by
from fbclip.artefacts.adapter import load_adapter
from fbclip.backbone.config import EMBEDDED
from fbclip.backbone.weights import EMBEDDED_DIR
from fbclip.detector import Detector, Job, open_detector
from fbclip.errors import ConfigError, MemoryBankError
from fbclip.images.framing import Framing
from fbclip.images.geometry import Roi
from fbclip.images.tiling import Tiling
from fbclip.memory.bank import load_memory, save_memory
from fbclip.memory.features import MemoryConfig, default_config

CONFIG = MemoryConfig(layers=(2, 6))


def squared(points: torch.Tensor) -> torch.Tensor:
    return torch.cdist(points.double(), points.double()).square()


def radius(points: torch.Tensor, chosen) -> float:
    return float(squared(points)[:, list(chosen)].amin(1).max())


def naive(points: torch.Tensor, first: int, count: int) -> list[int]:
    distances, chosen = squared(points), [first]
    nearest = distances[first]
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, distances[chosen[-1]])
    return chosen


@pytest.fixture(scope="module")
def detector():
    return open_detector("embedded", device="cpu")


@pytest.fixture(scope="module")
def normal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    write_calibration(folder, "inbox", 12)
    return folder


def run(*arguments):
    app = typer.Typer()
    app.command()(memory)
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=True)


def build(detector, samples, tokens=500, config=CONFIG, framing=None, **more):
    keep = more.pop("keep_outliers", False)
    return build_memory(
        detector, samples, framing or Framing(), MemoryRequest(config, tokens, keep_outliers=keep), Skips(), **more
    )


@given(st.integers(0, 10_000), st.integers(3, 9), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_coreset_covers_within_twice_the_best_radius(seed, n, k):
    points = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))
    chosen = coreset(points, k, seed)
    assert len(set(chosen.tolist())) == len(chosen) == min(k, n)
    best = min(radius(points, subset) for subset in itertools.combinations(range(n), k))
    assert radius(points, chosen) ** 0.5 <= 2 * best**0.5 + 1e-5


@pytest.mark.parametrize(("n", "k"), [(300, 300), (2500, 400)])
def test_coreset_in_blocks_is_the_plain_greedy_choice(n, k):
    points = torch.randn(n, 8, generator=torch.Generator().manual_seed(n))
    chosen = coreset(points, k, 5).tolist()
    assert chosen == naive(points, chosen[0], k)


def test_coreset_stops_at_copies_and_refuses_nothing_to_choose_from():
    points = torch.randn(4, 200).repeat(6, 1)
    assert len(coreset(points, 10, 0)) == 4
    with pytest.raises(ValueError, match="cannot be made"):
        coreset(points[:0], 3, 0)


def test_limit_keeps_its_rate_of_false_outliers():
    rng = np.random.default_rng(0)
    for n in (8, 24, 100):
        scores = np.exp(rng.normal(size=(4000, n)))
        above = np.mean([row > robust_limit(row, n) for row in scores])
        assert above <= 1.5 * RATE


def test_memory_is_small_the_same_again_and_knows_its_images(detector, normal, tmp_path):
    out = tmp_path / "m"
    answer = run(normal, "--out", out, "--units", "50%", "--tokens", 300, "--json")
    assert answer.exit_code == 0, answer.output
    made, values = load_memory(out), json.loads(answer.stdout)
    assert values["id"] == made.id
    assert values["units_left"] == 6
    assert tuple(made.tokens.shape) == (300, 256)
    provenance = made.manifest.provenance
    assert provenance["units"] == len(provenance["pictures"]) + len(provenance["outliers"]) == 6
    assert seen_by(made) <= {s.sha256 for s in read_data(normal).samples}
    again = tmp_path / "again"
    run(normal, "--out", again, "--units", 6, "--tokens", 300)
    assert load_memory(again).id == made.id


BOTH = pytest.mark.parametrize("config", [CONFIG, default_config(EMBEDDED)])


@BOTH
def test_anomalous_image_is_far_from_its_memory(detector, normal, config):
    made = build(detector, read_data(normal).samples, config=config).memory
    adapter = load_adapter(EMBEDDED_DIR / "adapter")
    asked = Detector(detector.backbone, detector.backbone_sha256, [adapter], detector.device, memories=[made])

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
def test_adding_keeps_what_was_known(detector, normal, tmp_path, config):
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
    save_memory(first, tmp_path / "m")
    answer = run(normal, "--out", tmp_path / "n", "--add", tmp_path / "m")
    assert answer.exit_code == 0, answer.output
    assert load_memory(tmp_path / "n").manifest.config == config
    assert "12 normal images" in answer.stdout


def test_anomalous_images_and_wrong_wishes_are_named(detector, normal, tmp_path):
    folder = tmp_path / "d"
    shutil.copytree(normal / "good", folder)
    (folder / "broken.png").write_bytes(b"no image")
    out = tmp_path / "m"
    answer = run(folder, "--out", out)
    assert isinstance(answer.exception, DataError)
    assert "broken.png (not_an_image" in str(answer.exception)
    assert not out.exists()
    answer = run(folder, "--out", out, "--skip-bad", "--tokens", 64)
    assert answer.exit_code == 0
    assert "left out: broken.png" in answer.stderr
    for wish, error, says in (
        (["--units", "0%"], ConfigError, "--units '0%'"),
        (["--units", "40"], RefusedError, "there are 13 normal units"),
        (["--tokens", 200_000], ConfigError, "--tokens"),
        (["--layers", "2,x"], ConfigError, "--layers '2,x'"),
        (["--layers", "9"], ConfigError, "block 9"),
        (["--neighbourhood", "2"], ConfigError, "must be odd"),
        (["--neighbourhood", "1;5"], ConfigError, "--neighbourhood '1;5'"),
        (["--metric", "manhattan"], ConfigError, "--metric"),
        (["--layers", "1,2,3,4,5,6", "--neighbourhood", "1,3,5,7"], ConfigError, "4608 numbers, at most 4096"),
        (["--reach", "1", "--tokens", "64", "--skip-bad"], ConfigError, "--reach"),
    ):
        answer = run(folder, "--out", tmp_path / "x", *wish)
        assert isinstance(answer.exception, error), wish
        assert says in str(answer.exception)
    (tmp_path / "none").mkdir()
    assert isinstance(run(tmp_path / "none", "--out", out).exception, DataError)


def test_reach_leaves_no_place_without_tokens(detector, normal):
    made = build(detector, read_data(normal).samples[:4], 600, MemoryConfig(layers=(2,), reach=0)).memory
    assert len(torch.unique(made.positions, dim=0)) == 256
    assert len(made.tokens) == 512


def test_many_images_share_the_room_and_tiles_count(detector, normal, monkeypatch):
    monkeypatch.setattr(candidates, "MAX_CANDIDATES", 100)
    found = candidates.gather(detector, read_data(normal).samples, Framing(), CONFIG, 0, Skips(), lambda _: None)
    assert torch.bincount(found.owner).tolist() == [8] * 12
    monkeypatch.setattr(candidates, "MAX_CANDIDATES", 200_000)
    tiled = Framing(tiling=Tiling(columns=2, rows=1))
    assert (
        len(
            candidates.gather(detector, read_data(normal).samples[:1], tiled, CONFIG, 0, Skips(), lambda _: None).tokens
        )
        == 512
    )


def test_generated_lines_are_data_sets(tmp_path):
    data = read_data(write_line(GeneratedLine("part", "biscuit", 5), tmp_path, 3, 2, 2))
    assert data.layout == "mvtec"
    assert [len([s for s in data.samples if s.split == part]) for part in ("train", "test")] == [3, 4]
    assert all(s.mask is not None for s in data.anomalous())
