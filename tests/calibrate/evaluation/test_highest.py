"""What set a threshold can be looked at, beside its profile and in the report."""

from dataclasses import replace

import cv2
import pytest

from calibrate.datasets.line_data import select
from calibrate.datasets.reader import read_data
from calibrate.evaluation.highest import highest_folder, read_highest, write_highest
from calibrate.inference import Skips
from calibrate.threshold.common_rule import NAME
from calibrate.threshold.profile import make_profile
from calibrate.threshold.request import ThresholdRequest, ThresholdTarget
from calibrate.threshold.text import blind_text, rule_text
from fbclip.artefacts.sees import ComparedRule, FoundShare
from tests.factories.lines import unit_of_the_line
from tests.factories.models import tiny_detector


@pytest.fixture
def blind(tmp_path):
    """Four units: nothing can show that what they set sees anything."""
    (tmp_path / "data").mkdir()
    for seed in range(4):
        cv2.imwrite(str(tmp_path / "data" / f"u {seed}.png"), unit_of_the_line(seed))
    data = select(read_data(tmp_path / "data"), None, with_anomalous=False)
    detector = tiny_detector()
    request = ThresholdRequest("belt", data, ThresholdTarget(0.01, 0.95, 0.05), best_effort=True)
    return make_profile(detector, detector.adapters[0], request, lambda _: None, Skips())


def test_the_highest_units_are_drawn_and_listed(blind, tmp_path):
    assert blind.profile.sees.blind
    drawn = write_highest(tmp_path / "belt.yaml", blind)
    assert len(drawn) == len(blind.highest) == len(blind.highest_images)
    assert drawn[0].name == f"01_{blind.highest[0][0].replace(' ', '-')}" + ".png"
    image = cv2.imread(str(drawn[0]))
    assert image.shape[1] == 2 * image.shape[0]
    text = "\n".join(blind_text(blind, drawn))
    assert str(drawn[0]) in text
    assert blind.highest[0][0] in text


def test_they_are_replaced_and_nothing_else_is_deleted(blind, tmp_path):
    folder = highest_folder(tmp_path / "belt.yaml")
    write_highest(tmp_path / "belt.yaml", blind)
    (folder / "09_old.png").write_bytes(b"")
    (folder / "mine.txt").write_text("kept")
    sees = replace(blind, highest_images=())
    assert write_highest(tmp_path / "belt.yaml", sees) == []
    assert [p.name for p in folder.iterdir()] == ["mine.txt"]
    (folder / "mine.txt").unlink()
    write_highest(tmp_path / "belt.yaml", blind)
    write_highest(tmp_path / "belt.yaml", sees)
    assert not folder.exists()


def test_they_are_read_for_their_own_profile_only(blind, tmp_path):
    path = tmp_path / "belt.yaml"
    assert read_highest(path, blind.profile.id) == ()
    drawn = write_highest(path, blind)
    found = read_highest(path, blind.profile.id)
    assert [(one.about.unit, one.about.z) for one in found] == [(u, round(z, 6)) for u, z in blind.highest]
    assert [one.png for one in found] == [p.read_bytes() for p in drawn]
    assert read_highest(path, "0" * 64) == ()
    drawn[0].write_bytes(b"no picture")
    assert read_highest(path, blind.profile.id)[0].png is None
    listed = highest_folder(path) / "units.json"
    listed.write_text(listed.read_text().replace(drawn[0].name, "../../secret.png"))
    assert read_highest(path, blind.profile.id) == ()


def test_another_rule_is_named_for_comparison(blind):
    rule = ComparedRule(
        name=NAME,
        threshold=2.84,
        alarms=FoundShare(what="normal", found=2, total=100, low=0, high=0.1),
        sizes=(FoundShare(what="large", found=9, total=10, low=0.5, high=1),),
    )
    assert rule_text(rule) == (
        "for comparison, the 95th percentile × 1.42 of these units promises nothing: z = 2.8400, 2 of 100 normal units "
        "alarm, finds 9 of 10 large painted defects"
    )
