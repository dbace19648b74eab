"""A profile on disk: readable YAML that a diff can follow, and the ignore mask beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from fbclip.artefacts.profile import SCHEMA, IgnoreMask, Profile
from fbclip.errors import ImageError, ProfileError
from fbclip.files import write_atomically
from fbclip.images.decode import read_image
from fbclip.images.framing import Framing, mask_from
from fbclip.images.geometry import BoolMap

MAX_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class LoadedProfile:
    """A profile with its ignore mask decoded: (H,W) bool in original-frame pixels."""

    profile: Profile
    mask: BoolMap | None = None

    @property
    def framing(self) -> Framing:
        """How a file becomes a frame, and which parts of it the network's input."""
        return Framing(self.profile.roi, self.profile.tiling, self.mask, self.profile.window)


def save_profile(profile: Profile, path: Path) -> None:
    """Write readable YAML atomically."""
    data = profile.model_dump(mode="json")
    data = {"schema": data.pop("schema_"), **data}
    # Innermost lists and mappings on one line: a thousand reference scores are not a thousand lines.
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None)
    write_atomically(path, text.encode())


def load_profile(path: Path) -> LoadedProfile:
    """Read and check a profile; raises ProfileError `file: field: problem`."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ProfileError(f"{path}: larger than {MAX_BYTES} bytes")
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ProfileError(f"{path}: no such profile; make one with `calibrate threshold`") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ProfileError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ProfileError(f"{path}: schema: not a profile of schema {SCHEMA}")
    data["schema_"] = data.pop("schema")
    try:
        profile = Profile.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "profile"
        raise ProfileError(f"{path}: {field}: {first['msg'].removeprefix('Value error, ')}") from error
    return LoadedProfile(profile, _load_mask(path, profile.ignore_mask))


def _load_mask(profile_path: Path, mask: IgnoreMask | None) -> BoolMap | None:
    if mask is None:
        return None
    path = profile_path.parent / mask.file
    try:
        image = read_image(path)
    except (OSError, ImageError) as error:
        raise ProfileError(f"{profile_path}: ignore_mask: {path.name} cannot be read: {error}") from error
    if image.sha256 != mask.sha256:
        raise ProfileError(f"{profile_path}: ignore_mask: {path.name} is not the image that was calibrated with")
    return mask_from(image.image)
