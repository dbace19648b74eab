"""The demo's files and the units to calibrate on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calibrate.embedded.samples.files import (
    BELT_PARTS,
    FRAMES_A_PART,
    belt_defect,
    read_video,
    write_calibration,
    write_samples,
)


def test_demo_files(tmp_path: Path) -> None:
    write_samples(tmp_path)
    frames = read_video(tmp_path / "belt.mp4")
    assert len(frames) == BELT_PARTS * FRAMES_A_PART
    assert frames[0].shape == (240, 320, 3)
    assert (tmp_path / "belt.mp4").stat().st_size < 1_500_000
    about = json.loads((tmp_path / "belt.json").read_text(encoding="utf-8"))
    assert [d["part"] for d in about["defective"]] == [p for p in range(BELT_PARTS) if belt_defect(p)]
    names = sorted(p.name for p in (tmp_path / "inbox").iterdir())
    assert len(names) == 10
    assert sum("good" in n for n in names) == 6


@pytest.mark.parametrize("product", ["belt", "inbox"])
def test_calibration_units(tmp_path: Path, product: str) -> None:
    write_calibration(tmp_path, product, 4)
    frames = [""] if product == "inbox" else [f"_{n}" for n in range(1, 6)]
    expected = [f"unit_{k:05d}{frame}.png" for k in range(1, 5) for frame in frames]
    assert sorted(p.name for p in (tmp_path / "good").iterdir()) == expected


def test_unknown_product_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown product"):
        write_calibration(tmp_path, "nonsense", 1)
