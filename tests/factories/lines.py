"""Lines with their profiles and memories: on a tiny random detector, or on the embedded model."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from agent.config.line import LineSection
from agent.pipeline.line_loading import load_line
from agent.pipeline.lines import Line
from agent.records import LineMode
from fbclip.artefacts.profile import Calibration, Profile
from fbclip.artefacts.profile_file import LoadedProfile, save_profile
from fbclip.decision import Statistic
from fbclip.detector import Detector, open_detector
from fbclip.images.framing import Framing
from fbclip.memory.bank import Memory, MemoryManifest, save_memory
from fbclip.memory.features import MemoryConfig, memory_features
from fbclip.memory.fusion import Fusion, TermScale

ENDLESS = {"type": "camera", "device": 0}
UNIT = TermScale(centre=0, spread=1)
FUSION = Fusion(
    use="memory", image_share=1, map_share=1,
    zero_shot_image=UNIT, memory_image=UNIT, zero_shot_map=UNIT, memory_map=UNIT,
)  # fmt: skip


def a_profile(detector: Detector, **changes: Any) -> Profile:
    """Measured with `detector`; nothing is above its threshold."""
    adapter = next(iter(detector.smoothing))
    calibration = Calibration(
        method="order-statistic", unit="file", n_good=1, n_constants=1, target=0.1, confidence=0.9,
        guarantee=None, quantiles={}, data_sha256="0" * 64,
    )  # fmt: skip
    values = {
        "line": "belt", "created": datetime(2026, 1, 1, tzinfo=UTC), "adapter": adapter, "backbone": "embedded",
        "backbone_sha256": detector.backbone_sha256, "device": "cpu", "size": 32, "smoothing": 1.0, "min_area_px": 4,
        "statistic": Statistic(a=0, b=1, a2=0, b2=1), "threshold": 1e9, "uncertain_above": None,
        "map_limits": (-1.0, 1.0), "calibration": calibration,
    }  # fmt: skip
    return Profile(**(values | changes))


def a_line(detector: Detector, profile: Profile | None = None, source: Any = None, mode=LineMode.LIVE) -> Line:
    section = LineSection(name="belt", source=source or ENDLESS, profile="p.yaml", mode=mode)
    return Line(section, next(iter(detector.smoothing)), None if profile is None else LoadedProfile(profile))


def load_lines(detector: Detector, sections: Iterable[LineSection]) -> dict[str, Line]:
    """Lines by name; raises ConfigError."""
    return {section.name: load_line(detector, section) for section in sections}


def unit_of_the_line(seed: int) -> np.ndarray:
    """uint8 (256,256,3): the same weave on every unit, other noise."""
    stripes = 130 + 40 * np.sin(np.arange(256) / 6)[None, :] * np.cos(np.arange(256) / 9)[:, None]
    noise = np.random.default_rng(seed).normal(0, 3, (256, 256))
    return np.repeat((stripes + noise).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def anomalous_unit(seed: int) -> np.ndarray:
    """The same with a dark scratch across."""
    image = unit_of_the_line(seed)
    cv2.line(image, (60, 90), (150, 170), (15, 15, 15), 5)
    return image


def remember(folder: Path, seeds: range, **changes: Any) -> Memory:
    """A memory of all tokens of the units `seeds`, block 2 of the embedded backbone."""
    detector = open_detector("embedded", device="cpu")
    config = MemoryConfig(layers=(2,))
    tiles = torch.cat([detector.frame(unit_of_the_line(seed), Framing()).tiles for seed in seeds])
    tokens = memory_features(detector.memory_layers(tiles, config), config).flatten(0, 1)
    values = {
        "backbone": "embedded", "backbone_sha256": detector.backbone_sha256, "image_size": 256, "config": config,
    }  # fmt: skip
    positions = torch.cartesian_prod(torch.arange(16), torch.arange(16)).repeat(len(seeds), 1)
    memory = Memory(MemoryManifest(**(values | changes)), tokens.half(), positions.to(torch.uint8))
    save_memory(memory, folder)
    return memory


def section(tmp_path: Path, **changes: Any) -> LineSection:
    """A line on the embedded model, in shadow, with the profile `p.yaml`."""
    values = {"name": "belt", "source": ENDLESS, "profile": tmp_path / "p.yaml", "mode": "shadow"}
    return LineSection(**(values | changes))


def write_profile(tmp_path: Path, name: str = "p.yaml", **changes: Any) -> None:
    """A profile of the embedded model."""
    detector = open_detector("embedded", device="cpu")
    save_profile(a_profile(detector, size=256, **changes), tmp_path / name)
