"""Collecting goes through the live path and leaves the source as it was."""

import csv

import cv2
import numpy as np
import pytest

from agent.collecting.collector import Collector
from agent.collecting.unit_rule import unit_rule
from agent.commands.collect import collect
from agent.config.line import LineSection
from agent.errors import SourceError
from calibrate.datasets import read_data
from fbclip.errors import ConfigError

RNG = np.random.default_rng(1)


def a_line(source) -> LineSection:
    return LineSection(name="belt", source=source, mode="learning")


def a_video(path, frames=12):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 5, (64, 48))
    for index in range(frames):
        image = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        writer.write(np.zeros_like(image) if index == 4 else image)
    writer.release()


def test_each_nth_frame_of_a_video_is_a_unit_and_black_ones_are_not(tmp_path):
    a_video(tmp_path / "v.mp4")
    line = a_line({"type": "video", "path": tmp_path / "v.mp4", "realtime": True, "loop": True})
    collector = Collector("belt", tmp_path / "out", units=100, every=2)
    kept = []
    collect(line, collector, kept.append)
    # Frames 0, 2, 4, 6, 8, 10; the fifth is black. A looping video is read once.
    assert (collector.written, collector.faults, sum(kept)) == (5, 1, 5)
    assert len(read_data(tmp_path / "out").normal()) == 5
    with (tmp_path / "out" / "collect.csv").open() as stream:
        assert [row["frame_number"] for row in csv.DictReader(stream)] == ["0", "2", "6", "8", "10"]


def two_parts(path, fps=5, frames=20):
    """Each part stands still before the camera for four seconds, with noise; H.264 as cameras make it."""
    from shutil import which
    from subprocess import run

    raw = path.with_suffix(".raw")
    with raw.open("wb") as stream:
        for part in (RNG.integers(40, 200, (12, 16, 3)), RNG.integers(40, 200, (12, 16, 3))):
            still = cv2.resize(part.astype(np.uint8), (320, 240), interpolation=cv2.INTER_CUBIC)
            for _ in range(frames):
                noisy = still + RNG.normal(0, 3, still.shape)
                stream.write(np.clip(noisy, 0, 255).astype(np.uint8).tobytes())
    size = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "320x240", "-r", str(fps), "-i", str(raw)]
    run([which("ffmpeg"), "-v", "error", *size, "-pix_fmt", "yuv420p", str(path)], check=True)


@pytest.mark.parametrize("realtime", [True, False])
def test_a_video_of_two_parts_is_two_units(tmp_path, realtime):
    two_parts(tmp_path / "v.mp4")
    line = a_line({"type": "video", "path": tmp_path / "v.mp4", "realtime": realtime})
    rule = unit_rule(None, line)
    collector = Collector("belt", tmp_path / "out", units=40, rule=rule, frames_per_unit=3)
    begun = []
    collect(line, collector, begun.append)
    assert (collector.written, sum(begun), collector.offered) == (2, 2, 40)
    data = read_data(tmp_path / "out").normal()
    assert len({s.unit for s in data}) == 2
    assert len(data) == collector.images == 6


def test_the_command_counts_units(tmp_path, capsys):
    from typer.testing import CliRunner

    from agent.cli import app

    two_parts(tmp_path / "v.mp4", frames=12)
    config = tmp_path / "agent.yaml"
    config.write_text("lines: [{name: belt, mode: learning, source: {type: video, path: v.mp4}}]")
    arguments = ["collect", "-c", str(config), "--line", "belt", "--units", "2", "--out", str(tmp_path / "out")]
    answer = CliRunner().invoke(app, [*arguments, "--frames-per-unit", "1"], standalone_mode=False)
    assert answer.return_value == 0, answer.output
    assert "2 of 2 units, 2 images kept of" in answer.output
    refused = CliRunner().invoke(app, [*arguments, "--unit", "gap:2s"])
    assert isinstance(refused.exception, ConfigError)


def test_a_folder_is_read_and_nothing_is_moved(tmp_path):
    hot = tmp_path / "in"
    hot.mkdir()
    for index in range(4):
        cv2.imwrite(str(hot / f"{index}.png"), RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    (hot / "text.png").write_text("no image")
    line = a_line({"type": "folder", "path": hot, "settle_s": 0})
    collector = Collector("belt", tmp_path / "out", units=3)
    collect(line, collector, lambda _: None, idle_s=5)
    assert collector.done
    assert len(list(hot.iterdir())) == 5
    kept = cv2.imread(str(tmp_path / "out" / "good" / "belt-00001.png"))
    assert any(np.array_equal(kept, cv2.imread(str(hot / f"{index}.png"))) for index in range(4))


def test_old_and_new_images_are_not_mixed(tmp_path):
    (tmp_path / "out" / "good").mkdir(parents=True)
    (tmp_path / "out" / "good" / "x.png").write_bytes(b"1")
    with pytest.raises(SourceError, match="not empty"):
        Collector("belt", tmp_path / "out", units=3)
    line = a_line({"type": "video", "path": tmp_path / "missing.mp4"})
    with pytest.raises(SourceError, match=r"missing\.mp4"):
        collect(line, Collector("belt", tmp_path / "new", units=3), lambda _: None)


def test_a_line_that_judges_series_is_not_collected_slice_by_slice(tmp_path):
    line = a_line({"type": "folder", "path": tmp_path, "series_s": 5})
    with pytest.raises(ConfigError, match=r"line belt: series_s: .*DICOM files themselves"):
        collect(line, Collector("belt", tmp_path / "out", units=1), lambda _: None)
    assert not list((tmp_path / "out").rglob("*.png"))
