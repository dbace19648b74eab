"""The normal units that set a blind threshold, as images with heat maps beside the profile, for people to judge."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2

from calibrate.evaluation.worst import pair_of
from calibrate.inference import read_usable
from calibrate.threshold.profile import ProfileResult
from fbclip.files import write_atomically


def highest_folder(profile: Path) -> Path:
    """Where they lie."""
    return profile.with_name(f"{profile.stem}.highest")


def write_highest(profile: Path, result: ProfileResult) -> list[Path]:
    """`NN_UNIT.png`, the highest first, in place of those of the profile before; none where it is not blind.

    Only files of such names are deleted, and the folder only where it is then empty. Raises OSError, ImageError.
    """
    folder = highest_folder(profile)
    for old in sorted(folder.glob("[0-9][0-9]_*.png")) if folder.is_dir() else ():
        old.unlink()
    written = []
    for number, one in enumerate(result.highest_images, 1):
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", one.sample.unit)[-60:].strip("-.") or "unit"
        image = read_usable(one.sample, result.profile.window)
        pair = pair_of(image, one.prediction.map, one.placement, result.profile.map_limits)
        path = folder / f"{number:02d}_{name}.png"
        write_atomically(path, cv2.imencode(".png", cv2.cvtColor(pair, cv2.COLOR_RGB2BGR))[1].tobytes())
        written.append(path)
    if folder.is_dir() and not any(folder.iterdir()):
        shutil.rmtree(folder)
    return written
