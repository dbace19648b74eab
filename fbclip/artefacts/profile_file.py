"""A profile on disk: readable, sealed YAML that a diff can follow, ignore mask and reference picture beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml
from pydantic import ValidationError

from fbclip.artefacts.profile import SCHEMA, IgnoreMask, Profile
from fbclip.artefacts.seal import ProfileChange, Seal, promise_text, seal_of, seal_state, without_promises
from fbclip.errors import ImageError, ProfileError
from fbclip.files import write_atomically
from fbclip.frozen import Frozen, shown_field
from fbclip.images.decode import read_image
from fbclip.images.framing import Framing, mask_from
from fbclip.images.geometry import BoolMap, FloatMap, RgbImage
from fbclip.picture_health.check import PictureCheck
from fbclip.picture_health.displacement import REFERENCE_SIDE
from fbclip.picture_health.limits import PictureLimits

MAX_BYTES = 1 << 20
M = TypeVar("M", bound=Frozen)


@dataclass(frozen=True)
class StoredProfile:
    """A profile as its file states it. `edited` ones state promises that they have lost: `trusted` is without them."""

    profile: Profile
    seal: Seal
    changed: ProfileChange | None = None

    @property
    def trusted(self) -> Profile:
        return without_promises(self.profile) if self.seal is Seal.EDITED else self.profile


@dataclass(frozen=True, eq=False)
class LoadedProfile:
    """A profile with its images decoded.

    mask: (H,W) bool in original-frame pixels; reference: (h,w) float32 grey, what `moved` compares with. One whose
    seal does not fit has no guarantee here, whatever its file says.
    """

    profile: Profile
    mask: BoolMap | None = None
    reference: FloatMap | None = None
    seal: Seal = Seal.SEALED
    changed: ProfileChange | None = None

    @property
    def promise(self) -> str:
        """What may be relied on, in a few words: its guarantee, or `none (edited)`."""
        return promise_text(self.profile, self.seal)

    @property
    def framing(self) -> Framing:
        """How a file becomes a frame, and which parts of it the network's input."""
        return Framing(self.profile.roi, self.profile.tiling, self.mask, self.profile.window)

    @cached_property
    def picture_check(self) -> PictureCheck | None:
        """What rejects pictures unlike those of the calibration; None for a profile without such limits."""
        limits = self.profile.picture
        return None if limits is None else PictureCheck(limits, self.framing, self.reference)


def save_profile(profile: Profile, path: Path, changed: ProfileChange | None = None) -> None:
    """Write readable YAML with its seal, atomically. `changed`: who made it out of another profile."""
    data = profile.model_dump(mode="json")
    data = {"schema": data.pop("schema_"), **data}
    if changed is not None:
        data["changed"] = changed.model_dump(mode="json")
    data["seal"] = seal_of(profile, changed)
    # Innermost lists and mappings on one line: a thousand reference scores are not a thousand lines.
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None)
    write_atomically(path, text.encode())


def load_profile(path: Path) -> LoadedProfile:
    """Read and check a profile and its mask; raises ProfileError `file: field: problem`."""
    stored = read_profile(path)
    profile = stored.profile
    mask, reference = _load_mask(path, profile.ignore_mask), _load_reference(path, profile.picture)
    return LoadedProfile(stored.trusted, mask, reference, stored.seal, stored.changed)


def read_profile(path: Path) -> StoredProfile:
    """Without the mask, which need not be there; raises ProfileError `file: field: problem`."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ProfileError(f"{path}: larger than {MAX_BYTES} bytes")
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ProfileError(f"{path}: no such profile; make one with `calibrate threshold`") from error
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise ProfileError(f"{path}: cannot be read: {first}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ProfileError(f"{path}: schema: not a profile of schema {SCHEMA}")
    data["schema_"] = data.pop("schema")
    seal, change = data.pop("seal", None), data.pop("changed", None)
    changed = None if change is None else _checked(path, ProfileChange, change, "changed")
    profile = _checked(path, Profile, data, "profile")
    try:
        return StoredProfile(profile, seal_state(profile, changed, seal), changed)
    except ValueError as error:
        raise ProfileError(f"{path}: calibration: holds a number that is not finite") from error


def _checked(path: Path, kind: type[M], data: Any, whole: str) -> M:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = shown_field(first["loc"]) or whole
        raise ProfileError(f"{path}: {field}: {first['msg'].removeprefix('Value error, ')}") from error


def _load_mask(profile_path: Path, mask: IgnoreMask | None) -> BoolMap | None:
    if mask is None:
        return None
    return mask_from(_read_beside(profile_path, mask.file, mask.sha256, "ignore_mask"))


def _load_reference(profile_path: Path, limits: PictureLimits | None) -> FloatMap | None:
    if limits is None or limits.moved is None:
        return None
    image = _read_beside(profile_path, limits.moved.file, limits.moved.sha256, "picture.moved")
    if max(image.shape[:2]) > REFERENCE_SIDE:
        raise ProfileError(f"{profile_path}: picture.moved: {limits.moved.file} is larger than {REFERENCE_SIDE} px")
    return image[:, :, 0].astype(np.float32)


def _read_beside(profile_path: Path, file: str, sha256: str, field: str) -> RgbImage:
    path = profile_path.parent / file
    try:
        image = read_image(path)
    except (OSError, ImageError) as error:
        raise ProfileError(f"{profile_path}: {field}: {path.name} cannot be read: {error}") from error
    if image.sha256 != sha256:
        raise ProfileError(f"{profile_path}: {field}: {path.name} is not the image that was calibrated with")
    return image.image
