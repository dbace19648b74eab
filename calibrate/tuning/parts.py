"""Which images tune, which stop early and which judge: disjoint by unit and by content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from calibrate.datasets.leakage import check_disjoint
from calibrate.datasets.sample import DataSet, Sample
from calibrate.datasets.splits import split_units
from calibrate.defects.on_images import JUDGE_KINDS, TUNE_KINDS
from calibrate.defects.painting import Item, Painted
from calibrate.errors import DataError

Mode = Literal["masks", "labels", "good only"]
WantedSplit = Literal["train", "test", "all"]
STOP_SHARE, JUDGE_SHARE = 0.15, 0.25
MAX_SYNTHETIC = 2000
MAX_IMAGES = 10_000
"""An adapter lists all of them in its manifest, whose size is bounded."""
_TUNE, _STOP, _JUDGE = range(3)

MEANING: dict[Mode, str] = {
    "masks": "anomalous images with masks: image and pixel losses",
    "labels": "anomalous images without masks: image losses only",
    "good only": "normal images only: defects are synthesised, and the judging is synthetic evidence",
}


@dataclass(frozen=True)
class TuningSplit:
    """Items by what they do; `samples` are the files behind all of them."""

    mode: Mode
    tune: tuple[Item, ...]
    stop: tuple[Item, ...]
    judge: tuple[Item, ...]

    @property
    def samples(self) -> list[Sample]:
        """Each once, in a fixed order."""
        return list(dict.fromkeys(item.sample for item in (*self.tune, *self.stop, *self.judge)))


def select(data: DataSet, wanted: WantedSplit) -> tuple[list[Sample], list[str]]:
    """(labelled samples to use, notes): of a set with splits only those of `wanted`.

    Raises DataError when nothing is left or no image is normal.
    """
    has_splits = any(s.split is not None for s in data.samples)
    mine = [s for s in data.samples if not has_splits or wanted in {"all", s.split}]
    labelled = [s for s in mine if s.label is not None]
    notes = []
    if len(mine) < len(data.samples):
        notes.append(f"{len(data.samples) - len(mine)} images outside of split {wanted} are left out")
    if len(labelled) < len(mine):
        notes.append(f"{len(mine) - len(labelled)} images without a label are left out")
    if not labelled:
        hint = "; --split test or all takes others" if has_splits and wanted == "train" else ""
        raise DataError(f"{data.root}: no labelled images in split {wanted}{hint}")
    if all(s.label for s in labelled):
        raise DataError(f"{data.root}: no normal images; tuning needs normal ones, with or without anomalous ones")
    if len(labelled) > MAX_IMAGES:
        raise DataError(f"{data.root}: {len(labelled)} images, at most {MAX_IMAGES} can be used")
    return labelled, notes


def mode_of(samples: Sequence[Sample]) -> Mode:
    """What can be learned from: masks where any anomalous image has one."""
    anomalous = [s for s in samples if s.label]
    if not anomalous:
        return "good only"
    return "masks" if any(s.mask is not None for s in anomalous) else "labels"


def make_parts(samples: Sequence[Sample], synthetic: int, seed: int) -> TuningSplit:
    """60 % of the units tune, 15 % stop, 25 % judge, apart for normal and for anomalous units.

    Good only: `synthetic` painted versions of each image to tune on, at most MAX_SYNTHETIC in all; one painted
    version of each to stop on; and to judge, one with a kind of defect that is painted nowhere else.
    Raises DataError when there are too few units, or two parts share an image.
    """
    mode = mode_of(samples)
    broken = {s.unit for s in samples if s.label}
    tune: list[Sample] = []
    stop: list[Sample] = []
    judge: list[Sample] = []
    for name, stratum in (
        ("good", [s for s in samples if s.unit not in broken]),
        ("defective", [s for s in samples if s.unit in broken]),
    ):
        if name == "defective" and mode == "good only":
            continue
        units = len({s.unit for s in stratum})
        if units < 3:
            raise DataError(
                f"{units} {name} units are too few: tuning, early stopping and judging need one each; bring 3 or more"
            )
        judging = max(1, round(JUDGE_SHARE * units))
        stopping = max(1, round(STOP_SHARE * units))
        one, rest = split_units(stratum, judging)
        two, three = split_units(rest, stopping)
        judge, stop, tune = judge + one, stop + two, tune + three
    check_disjoint({"tuning": tune, "early stopping": stop, "judging": judge})
    items = {part: tuple(Item(s) for s in found) for part, found in enumerate((tune, stop, judge))}
    if mode == "good only":
        count = min(synthetic * len(tune), MAX_SYNTHETIC)
        items[_TUNE] += _painted(tune, count, TUNE_KINDS, (seed, _TUNE))
        items[_STOP] += _painted(stop, len(stop), TUNE_KINDS, (seed, _STOP))
        items[_JUDGE] += _painted(judge, len(judge), JUDGE_KINDS, (seed, _JUDGE))
    return TuningSplit(mode, items[_TUNE], items[_STOP], items[_JUDGE])


def _painted(normals: Sequence[Sample], count: int, kinds: tuple[str, ...], seed: tuple[int, int]) -> tuple[Item, ...]:
    return tuple(Item(normals[i % len(normals)], Painted(kinds, (*seed, i))) for i in range(count))
