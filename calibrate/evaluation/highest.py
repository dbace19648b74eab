"""The normal units that set a threshold, as images with heat maps beside the profile, for people to judge.

An anomalous one among them is the usual reason for a threshold that is too high.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
from pydantic import Field, ValidationError

from calibrate.evaluation.worst import pair_of
from calibrate.inference import read_usable
from calibrate.threshold.profile import ProfileResult
from calibrate.threshold.unit_scores import MAX_HIGHEST
from fbclip.files import write_atomically
from fbclip.frozen import Frozen

LIST_FILE = "units.json"
MAX_LIST, MAX_PNG = 1 << 20, 4 << 20
_PNG = b"\x89PNG\r\n\x1a\n"


class HighestUnit(Frozen):
    """A normal unit, its z, and the file with its image and heat map in the same folder."""

    unit: str
    z: float = Field(allow_inf_nan=False)
    file: str = Field(pattern=r"^[0-9]{2}_[A-Za-z0-9_.-]+\.png$")


class HighestUnits(Frozen):
    """Falling z; profile: id of the profile whose threshold they set or exceed."""

    profile: str
    units: tuple[HighestUnit, ...] = Field(max_length=MAX_HIGHEST)


@dataclass(frozen=True)
class DrawnUnit:
    """`png` is None where the file is missing or damaged."""

    about: HighestUnit
    png: bytes | None


def highest_folder(profile: Path) -> Path:
    """Where they lie."""
    return profile.with_name(f"{profile.stem}.highest")


def write_highest(profile: Path, result: ProfileResult) -> list[Path]:
    """`NN_UNIT.png`, the highest first, and a list of them, in place of those of the profile before.

    Only files of such names are deleted, and the folder only where it is then empty. Raises OSError, ImageError.
    """
    folder = highest_folder(profile)
    for old in (*sorted(folder.glob("[0-9][0-9]_*.png")), folder / LIST_FILE) if folder.is_dir() else ():
        old.unlink(missing_ok=True)
    drawn = draw_highest(result)
    for one in drawn:
        write_atomically(folder / one.about.file, one.png or b"")
    if drawn:
        units = tuple(one.about for one in drawn)
        listed = HighestUnits(profile=result.profile.id, units=units).model_dump(mode="json")
        write_atomically(folder / LIST_FILE, (json.dumps(listed, indent=2) + "\n").encode())
    if folder.is_dir() and not any(folder.iterdir()):
        shutil.rmtree(folder)
    return [folder / one.about.file for one in drawn]


def draw_highest(result: ProfileResult) -> tuple[DrawnUnit, ...]:
    """The highest first. Raises ImageError, OSError."""
    z_of, drawn = dict(result.highest), []
    for number, one in enumerate(result.highest_images, 1):
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", one.sample.unit)[-60:].strip("-.") or "unit"
        image = read_usable(one.sample, result.profile.window)
        pair = pair_of(image, one.prediction.map, one.placement, result.profile.map_limits)
        png = cv2.imencode(".png", cv2.cvtColor(pair, cv2.COLOR_RGB2BGR))[1].tobytes()
        about = HighestUnit(unit=one.sample.unit, z=round(z_of[one.sample.unit], 6), file=f"{number:02d}_{name}.png")
        drawn.append(DrawnUnit(about, png))
    return tuple(drawn)


def read_highest(profile: Path, profile_id: str) -> tuple[DrawnUnit, ...]:
    """What `write_highest` wrote for this very profile; empty where there is none, or it is of another one."""
    folder = highest_folder(profile)
    try:
        if (folder / LIST_FILE).stat().st_size > MAX_LIST:
            return ()
        found = HighestUnits.model_validate_json((folder / LIST_FILE).read_bytes())
    except (OSError, ValidationError):
        return ()
    if found.profile != profile_id:
        return ()
    return tuple(DrawnUnit(one, _png(folder / one.file)) for one in found.units)


def _png(path: Path) -> bytes | None:
    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_PNG else b""
    except OSError:
        return None
    return data if data.startswith(_PNG) else None
