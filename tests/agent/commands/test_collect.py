"""Collecting goes through the live path and leaves the source as it was."""

import csv

import cv2
import numpy as np
import pytest

from agent.commands.collect import Collector, collect
from agent.config.line import LineSection
from agent.errors import SourceError
from calibrate.datasets import read_data

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
    collect(line, collector, lambda: kept.append(1))
    # Frames 0, 2, 4, 6, 8, 10; the fifth is black. A looping video is read once.
    assert (collector.written, collector.faults, len(kept)) == (5, 1, 5)
    assert len(read_data(tmp_path / "out").normal()) == 5
    with (tmp_path / "out" / "collect.csv").open() as stream:
        assert [row["frame_number"] for row in csv.DictReader(stream)] == ["0", "2", "6", "8", "10"]


def test_a_folder_is_read_and_nothing_is_moved(tmp_path):
    hot = tmp_path / "in"
    hot.mkdir()
    for index in range(4):
        cv2.imwrite(str(hot / f"{index}.png"), RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    (hot / "text.png").write_text("no image")
    line = a_line({"type": "folder", "path": hot, "settle_s": 0})
    collector = Collector("belt", tmp_path / "out", units=3)
    collect(line, collector, lambda: None, idle_s=5)
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
        collect(line, Collector("belt", tmp_path / "new", units=3), lambda: None)
