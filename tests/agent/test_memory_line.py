"""A line with a memory of normal images: judged on fused evidence, bound to the memory it was measured with."""

import json
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from agent.cli import app
from agent.commands.check import check_all
from agent.config.sections import Config, LineSection, ModelSection
from agent.pipeline.judge import Judge
from agent.pipeline.loading import load_detector, load_lines
from agent.records import Frame
from fbclip.artefacts.profile_file import save_profile
from fbclip.decision import Verdict
from fbclip.detector import Job, open_detector
from fbclip.errors import ConfigError, MemoryBankError
from fbclip.images.framing import Framing
from fbclip.memory.bank import Memory, MemoryManifest, save_memory
from fbclip.memory.features import MemoryConfig, memory_features
from fbclip.memory.fusion import Fusion, TermScale
from tests.agent.test_judge import a_profile

ENDLESS = {"type": "camera", "device": 0}
UNIT = TermScale(centre=0, spread=1)
FUSION = Fusion(
    use="memory", image_share=1, map_share=1,
    zero_shot_image=UNIT, memory_image=UNIT, zero_shot_map=UNIT, memory_map=UNIT,
)  # fmt: skip


def unit_of_the_line(seed: int) -> np.ndarray:
    """uint8 (256,256,3): the same weave on every unit, other noise."""
    stripes = 130 + 40 * np.sin(np.arange(256) / 6)[None, :] * np.cos(np.arange(256) / 9)[:, None]
    noise = np.random.default_rng(seed).normal(0, 3, (256, 256))
    return np.repeat((stripes + noise).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def anomalous_unit(seed: int) -> np.ndarray:
    image = unit_of_the_line(seed)
    cv2.line(image, (60, 90), (150, 170), (15, 15, 15), 5)
    return image


def remember(folder, seeds, **changes) -> Memory:
    """A memory of all tokens of the units `seeds`, block 2 of the embedded backbone."""
    detector = open_detector("embedded", device="cpu")
    config = MemoryConfig(layers=(2,))
    tiles = torch.cat([detector.frame(unit_of_the_line(seed), Framing()).tiles for seed in seeds])
    with torch.inference_mode():
        (block,) = detector.backbone(tiles, config.layers)
    tokens = memory_features({2: block}, config).flatten(0, 1)
    values = {
        "backbone": "embedded", "backbone_sha256": detector.backbone_sha256, "image_size": 256, "config": config,
    }  # fmt: skip
    positions = torch.cartesian_prod(torch.arange(16), torch.arange(16)).repeat(len(seeds), 1)
    memory = Memory(MemoryManifest(**(values | changes)), tokens.half(), positions.to(torch.uint8))
    save_memory(memory, folder)
    return memory


def section(tmp_path, **changes) -> LineSection:
    values = {"name": "belt", "source": ENDLESS, "profile": tmp_path / "p.yaml", "mode": "shadow"}
    return LineSection(**(values | changes))


def write_profile(tmp_path, name="p.yaml", **changes) -> None:
    detector = open_detector("embedded", device="cpu")
    save_profile(a_profile(detector, size=256, **changes), tmp_path / name)


def test_a_line_with_a_memory_judges_beside_one_without(tmp_path):
    memory = remember(tmp_path / "m", range(6))
    write_profile(tmp_path, memory=memory.id, fusion=FUSION)
    write_profile(tmp_path, "plain.yaml", line="plain")
    sections = [
        section(tmp_path, memory=tmp_path / "m"),
        section(tmp_path, name="plain", profile=tmp_path / "plain.yaml"),
    ]
    detector = load_detector(ModelSection(device="cpu"), sections)
    assert detector.memories == (memory.id,)
    frames = [
        Frame(name, 1, datetime.now(UTC), 0.0, image)
        for image in (unit_of_the_line(100), anomalous_unit(101))
        for name in ("belt", "plain")
    ]
    judged = Judge(detector, load_lines(detector, sections), "run").judge(frames)
    normal, plain, anomalous, _ = (j.inspection.decision for j in judged)
    tiles = detector.frame(frames[0].image, Framing()).tiles
    job = Job(tiles, detector.adapters[0], 1.0, memory=memory.id)
    (terms,) = detector.infer_terms([job])
    assert normal.margin == pytest.approx(terms.distance_image, abs=1e-4)
    assert plain.margin == pytest.approx(terms.margin, abs=1e-4)
    assert anomalous.margin > normal.margin

    write_profile(tmp_path, memory=memory.id, fusion=FUSION, threshold=(normal.z + anomalous.z) / 2)
    again = Judge(detector, load_lines(detector, sections), "run").judge([frames[0], frames[2]])
    fine, marked = (j.inspection.decision for j in again)
    assert (fine.verdict, marked.verdict) == (Verdict.OK, Verdict.ANOMALY)
    x1, y1, x2, y2 = marked.regions[0].box
    assert x1 < 105 < x2
    assert y1 < 130 < y2


def test_a_line_that_learns_shows_zero_shot_margins(tmp_path):
    remember(tmp_path / "m", range(2))
    learning = section(tmp_path, profile=None, mode="learning", memory=tmp_path / "m")
    detector = load_detector(ModelSection(device="cpu"), [learning])
    judge = Judge(detector, load_lines(detector, [learning]), "run")
    image = unit_of_the_line(7)
    decision = judge.judge([Frame("belt", 1, datetime.now(UTC), 0.0, image)])[0].inspection.decision
    adapter = detector.adapters[0]
    (zero_shot,) = detector.infer([Job(detector.frame(image, Framing()).tiles, adapter, detector.smoothing[adapter])])
    assert decision.verdict is Verdict.UNCERTAIN
    assert decision.margin == pytest.approx(zero_shot.margin, rel=1e-5)


def test_a_memory_that_the_profile_was_not_measured_with_is_refused_and_named(tmp_path):
    own, foreign = remember(tmp_path / "own", range(2)), remember(tmp_path / "foreign", range(2, 4))
    write_profile(tmp_path, memory=own.id, fusion=FUSION)

    def problem(**changes) -> str:
        sections = [section(tmp_path, **changes)]
        detector = load_detector(ModelSection(device="cpu"), sections)
        with pytest.raises(ConfigError) as caught:
            load_lines(detector, sections)
        return str(caught.value)

    text = problem(memory=tmp_path / "foreign")
    assert f"measured with {own.id}, running is {foreign.id}" in text
    assert f"memory {own.id[:12]} as lines[].memory" in text
    assert f"measured with {own.id}, running is none" in problem()
    write_profile(tmp_path)
    text = problem(memory=tmp_path / "own")
    assert f"measured with none, running is {own.id}" in text
    assert "leave memory (lines[].memory" in text


def test_check_names_what_is_wrong_with_a_memory(tmp_path):
    memory = remember(tmp_path / "m", range(2))
    write_profile(tmp_path, memory=memory.id, fusion=FUSION)
    other = remember(tmp_path / "other", range(2), backbone_sha256="0" * 64)

    def problems(folder) -> dict[str, str | None]:
        config = Config(
            agent={"data_dir": tmp_path / "var"}, mqtt={"url": "embedded://127.0.0.1:0"},
            web={"listen": "127.0.0.1:0"}, model={"device": "cpu"}, lines=(section(tmp_path, memory=folder),),
        )  # fmt: skip
        return {check.part: check.problem for check in check_all(config)}

    normal = problems(tmp_path / "m")
    assert normal["model"] is None
    assert normal["line belt: profile"] is None
    assert other.id[:12] in problems(tmp_path / "other")["model"]
    assert str(tmp_path / "none") in problems(tmp_path / "none")["model"]


def test_a_memory_is_found_relative_to_the_configuration(tmp_path):
    line = {"name": "belt", "source": ENDLESS, "mode": "learning", "memory": "memories/belt"}
    config = Config.model_validate({"lines": [line]}, context={"base": tmp_path})
    assert config.lines[0].memory == tmp_path / "memories" / "belt"
    with pytest.raises(MemoryBankError, match="no memory here"):
        load_detector(ModelSection(device="cpu"), config.lines)


def test_inspect_takes_a_memory(tmp_path):
    memory = remember(tmp_path / "m", range(2))
    write_profile(tmp_path, memory=memory.id, fusion=FUSION)
    cv2.imwrite(str(tmp_path / "a.png"), unit_of_the_line(9))
    arguments = ["inspect", str(tmp_path / "a.png"), "--device", "cpu", "--profile", str(tmp_path / "p.yaml"), "--json"]
    answer = CliRunner().invoke(app, [*arguments, "--memory", str(tmp_path / "m")])
    assert answer.exit_code == 0, answer.output
    assert 0 < json.loads(answer.stdout)["margin"] < 2
    assert isinstance(CliRunner().invoke(app, arguments).exception, ConfigError)
