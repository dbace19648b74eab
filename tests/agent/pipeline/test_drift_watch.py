"""From stored inspections to units, on a real database: what counts, what does not, and what a restart keeps."""

from dataclasses import replace

import numpy as np
import pytest

from agent.config.line import LineSection
from agent.drift.drift_store import DriftStore
from agent.errors import StoreError
from agent.pipeline.drift_watch import DriftWatch
from agent.pipeline.judge import Judge
from agent.pipeline.line_loading import with_threshold
from agent.pipeline.lines import Line, LiveLines
from agent.records import Frame, LineMode, SeriesFile, TriggeredPart
from agent.store.access import open_writer
from fbclip.artefacts.profile_file import LoadedProfile
from fbclip.decision import Decision, Verdict, reject
from fbclip.picture_health.limits import PictureLimits
from fbclip.picture_health.measures import PictureMeasures
from tests.agent.drift.units import a_reference
from tests.factories.agent import COMMITTED, a_judged, an_inspection
from tests.factories.lines import a_profile

FOLDER = {"type": "folder", "path": "/in"}
CAMERA = {"type": "camera", "device": 0}


class Clock:
    """Monotonic seconds, as a test sets them."""

    now = 100.0

    def __call__(self):
        return self.now


class Site:
    """One line, its watch, and a clock."""

    def __init__(self, tmp_path, detector, source, reference=None, **section):
        self.profile = a_profile(detector, drift=reference or a_reference())
        self.section = LineSection(name="belt", source=source, profile="p.yaml", **section)
        line = Line(self.section, "a", LoadedProfile(self.profile), self.profile.id)
        self.lines = LiveLines([line])
        self.clock = Clock()
        self.database = open_writer(f"sqlite:///{tmp_path}/agent.db", "a1")
        self.watch = self.new_watch()

    def new_watch(self):
        return DriftWatch(self.lines, DriftStore(self.database), self.clock)

    def see(
        self, z=0.5, verdict=Verdict.OK, measures=PictureMeasures(-1.5, 100.5, 0.005), part=None, series=(), **changes
    ):
        decision = reject("moved") if verdict is Verdict.REJECTED else Decision(verdict, None, z, z, 0.5, 1.0)
        seen = an_inspection(profile_id=self.lines["belt"].profile_id, decision=decision)
        frame = Frame("belt", 1, COMMITTED, self.clock(), np.zeros((4, 4, 3), np.uint8), part=part, series=series)
        self.watch.recorded(replace(a_judged(seen, frame), measures=measures, **changes))

    @property
    def units(self):
        return self.watch.report("belt").units


@pytest.fixture
def site(tmp_path, detector):
    made = []

    def make(source=FOLDER, **options):
        made.append(Site(tmp_path, detector, source, **options))
        return made[-1]

    yield make
    for one in made:
        one.database.close()


def test_each_file_is_a_unit_also_an_anomaly_and_a_moved_picture(site):
    line = site()
    line.see()
    line.see(verdict=Verdict.ANOMALY)
    line.see(verdict=Verdict.REJECTED)
    assert line.units == 3


def test_what_is_no_picture_is_none(site):
    line = site()
    line.see(verdict=Verdict.REJECTED, measures=None)
    assert line.units == 0


def test_a_volume_is_a_unit_by_the_z_of_its_worst_slice(site):
    volumes = a_reference(pictures=False).model_copy(update={"of_volumes": True})
    line = site(reference=volumes)
    for _ in range(40):
        # How sharp and light the worst slice is says nothing of the volume.
        line.see(z=0.95, of_volume=True, measures=PictureMeasures(-99, 0, 1))
    line.see(verdict=Verdict.REJECTED, of_volume=True)
    report = line.watch.report("belt")
    assert (report.units, [finding.statistic for finding in report.findings]) == (40, ["z_high"])
    # An image among them is compared with the same.
    line.see(z=0.5)
    assert line.units == 41


def test_a_series_that_came_back_with_a_late_slice_was_a_unit_before(site):
    volumes = a_reference(pictures=False).model_copy(update={"of_volumes": True})
    line = site(reference=volumes)
    first, late = SeriesFile(1, "/in/1", "/in/1", "0" * 64), SeriesFile(2, "/in/2", "/in/2", "1" * 64)
    line.see(of_volume=True, series=(first,))
    line.see(of_volume=True, series=(replace(first, was_judged=True), late))
    assert line.units == 1


def test_a_profile_that_knows_no_volumes_says_so_where_there_are_some(site):
    line = site()
    line.see(of_volume=True)
    report = line.watch.report("belt")
    assert report.units == 0 and "no reference for scans of several slices" in report.not_watched
    line.see()
    assert (line.units, line.watch.report("belt").not_watched) == (1, None)


def test_a_continuous_camera_has_one_unit_in_a_while(site):
    line = site(CAMERA, drift={"every_s": 10})
    for _ in range(25):
        line.see()
        line.clock.now += 1
    assert line.units == 3


def test_a_part_is_one_unit_however_many_images_it_has(site):
    line = site({**CAMERA, "trigger": "mqtt", "frames": 3})
    for number in (1, 1, 2, 1, 2, 3):
        line.see(part=TriggeredPart(number, "belt", COMMITTED, 0, 0, 5, 3, {}))
    assert line.units == 3


def test_lines_that_are_not_watched_say_why(site):
    assert site(drift={"watch": False}).watch.report("belt").not_watched == "switched off"
    learning = site(mode=LineMode.LEARNING)
    learning.see()
    assert learning.watch.report("belt").not_watched == "mode learning"
    bare = site()
    profile = bare.profile.model_copy(update={"drift": None})
    bare.lines.put(replace(bare.lines["belt"], loaded=LoadedProfile(profile), file_id=profile.id))
    bare.see()
    assert "calibrate anew" in bare.watch.report("belt").not_watched
    assert bare.watch.report("nobody").not_watched == "no profile"


def test_a_restart_forgets_nothing_and_saves_are_a_second_apart(site):
    line = site()
    for _ in range(30):
        line.see(z=0.95)
    assert line.new_watch().report("belt").units == 0
    line.clock.now += 1
    line.see(z=0.95)
    again = line.new_watch().report("belt")
    assert (again.units, again.recalibrate, again.findings[0].statistic) == (31, True, "z_high")
    line.see()
    line.watch.save()
    assert line.new_watch().report("belt") == line.watch.report("belt")


def test_a_new_profile_begins_anew_and_a_threshold_by_hand_does_not(site):
    line = site()
    for _ in range(40):
        line.see(z=0.95)
    assert line.watch.report("belt").recalibrate
    before = line.lines["belt"]
    line.lines.put(replace(before, loaded=with_threshold(before.loaded, 0.7)))
    line.see()
    assert (line.units, line.watch.report("belt").recalibrate) == (41, True)
    profile = line.profile.model_copy(update={"min_area_px": 5})
    line.lines.put(replace(before, loaded=LoadedProfile(profile), file_id=profile.id))
    line.see()
    assert (line.units, line.watch.report("belt").recalibrate) == (1, False)


def test_a_store_that_refuses_is_asked_again(site, monkeypatch):
    line = site()
    with monkeypatch.context() as broken:
        broken.setattr(DriftStore, "save", lambda *_: (_ for _ in ()).throw(StoreError("full")))
        line.see()
        line.watch.save()
    line.watch.save()
    assert line.new_watch().report("belt").units == 1


def test_a_damaged_state_begins_anew(site):
    line = site()
    line.see()
    line.watch.save()
    with line.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE drift SET state = '{}'")
    assert line.new_watch().report("belt").units == 0


def test_the_judge_measures_the_pictures_that_the_limits_reject_as_well(detector):
    limits = PictureLimits(
        n_units=20, bound=0.1, confidence=0.95, least_sharpness=-99, least_highlights=100, most_light=255,
        not_moved_because="a test",
    )  # fmt: skip
    profile = a_profile(detector, picture=limits)
    line = Line(LineSection(name="belt", source=FOLDER, profile="p"), profile.adapter, LoadedProfile(profile))
    rng = np.random.default_rng(1)
    for level, reason in ((200, None), (60, "dimmed")):
        image = rng.integers(level - 20, level + 20, (40, 40, 3)).astype(np.uint8)
        judged = Judge(detector, {"belt": line}, "r").judge([Frame("belt", 1, COMMITTED, 0.0, image)])[0]
        assert judged.inspection.decision.reason == reason
        assert judged.measures.light == pytest.approx(level, abs=3)
