"""What is of one part: by series, bytes, part id or trigger where there is one, by time only where there is none."""

from datetime import UTC, datetime, timedelta

import pytest

from agent.config.line import LineSection
from agent.exporting.units import units_of
from agent.store.access import open_writer
from agent.store.reader import Reader
from agent.store.schema import files
from agent.store.views import Views
from agent.store.writer import Writer
from tests.factories.agent import an_inspection

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
CAMERA = {"type": "camera", "device": 0}
SOURCES = {
    "inbox": {"type": "folder", "path": "/in"},
    "press": {**CAMERA, "trigger": "mqtt", "frames": 3},
    "clock": {**CAMERA, "trigger": "interval", "interval_s": 1},
    "belt": CAMERA,
}
SECTIONS = {name: LineSection(name=name, source=source, mode="learning") for name, source in SOURCES.items()}


@pytest.fixture
def units(tmp_path):
    """(line, seconds, whatever else) of inspections -> their units, by what a real store says of them."""
    database = open_writer(f"sqlite:///{tmp_path}/agent.db", "a")
    writer, reader, views = Writer(database), Reader(database), Views(database)
    writer.start_run("run-1", lambda _: None)

    def find(*judged, series=()):
        with database.transaction() as connection:
            for number, digest in enumerate(series, 1):
                row = {"id": number, "agent": "a", "line": "inbox", "path": f"/in/{number}", "size": 1, "mtime_ns": 1}
                more = {"sha256": f"{number}" * 64, "state": "done", "added": NOON, "series": digest}
                connection.execute(files.insert().values(row | more))
        for seq, (line, seconds, values) in enumerate(judged, 1):
            moment = NOON + timedelta(seconds=seconds)
            writer.record(an_inspection(line=line, frame_seq=seq, ts=moment, **values), [], [])
        rows = [reader.inspection(number) for number in range(1, len(judged) + 1)]
        known = views.series({row.file_id for row in rows if row.file_id is not None})
        found = units_of(rows, SECTIONS, known)
        return [found[row.id] for row in rows]

    yield find
    database.close()


def of(part=None, frame=1, correlation=None, trigger="mqtt"):
    context = {"trigger": trigger, "part": part, "frame": frame, "frames": 3}
    return {"context": context | ({} if correlation is None else {"correlation_id": correlation})}


def test_files_are_parts_of_their_own_and_the_same_bytes_are_one(units):
    one, other = {"sha256": "a" * 64}, {"sha256": "b" * 64}
    assert units(("inbox", 0, one), ("inbox", 1, other), ("inbox", 900, one)) == ["file-1", "", "file-1"]


def test_a_series_that_was_judged_again_is_one_volume_whichever_slice_stood_for_it(units):
    judged = [("inbox", k, {"sha256": f"{k}" * 64, "file_id": k}) for k in (1, 2, 3)]
    assert units(*judged, series=("same", "same", None)) == ["file-1", "file-1", ""]


def test_a_part_is_known_by_its_id_also_where_others_came_between(units):
    found = units(("press", 0, of("A1")), ("press", 1, of("B2")), ("press", 3600, of("A1", 3)), ("press", 3601, of(7)))
    assert found == ["part-1", "part-2", "part-1", "part-4"]


def test_a_trigger_without_an_id_is_known_by_its_own_or_counts_its_images(units):
    named = units(
        ("press", 0, of(correlation="x")), ("press", 1, of(correlation="y")), ("press", 2, of(correlation="x"))
    )
    assert named == ["part-1", "part-2", "part-1"]


def test_images_of_triggers_that_say_nothing_are_counted(units):
    found = units(*(("press", second, of(frame=frame)) for second, frame in enumerate((1, 2, 3, 1, 1, 2))))
    # However fast parts follow each other.
    assert found == ["seen-1", "seen-1", "seen-1", "seen-4", "seen-5", "seen-5"]


@pytest.mark.parametrize("line", ["belt", "clock"])
def test_a_camera_that_is_told_nothing_of_parts_has_a_pause_between_them(units, line):
    values = of(trigger="interval") if line == "clock" else {}
    found = units(*((line, second, values) for second in (0, 9, 18, 60)))
    assert found == ["seen-1", "seen-1", "seen-1", "seen-4"]


def test_lines_have_units_of_their_own(units):
    assert units(("belt", 0, {}), ("press", 1, of(frame=2)), ("belt", 2, {})) == ["seen-1", "seen-2", "seen-1"]
