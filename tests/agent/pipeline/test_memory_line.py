"""A line with a memory of normal images: judged on the fused map, bound to the memory it was measured with."""

from datetime import UTC, datetime

import pytest

from agent.config.sections import Config, ModelSection
from agent.pipeline.detector_loading import load_detector
from agent.pipeline.judge import Judge
from agent.records import Frame
from fbclip.decision import Verdict
from fbclip.detector import Job
from fbclip.errors import ConfigError, MemoryBankError
from fbclip.images.framing import Framing
from tests.factories.lines import (
    ENDLESS,
    FUSION,
    anomalous_unit,
    load_lines,
    remember,
    section,
    unit_of_the_line,
    write_profile,
)


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


def test_a_memory_is_found_relative_to_the_configuration(tmp_path):
    line = {"name": "belt", "source": ENDLESS, "mode": "learning", "memory": "memories/belt"}
    config = Config.model_validate({"lines": [line]}, context={"base": tmp_path})
    assert config.lines[0].memory == tmp_path / "memories" / "belt"
    with pytest.raises(MemoryBankError, match="no memory here"):
        load_detector(ModelSection(device="cpu"), config.lines)
