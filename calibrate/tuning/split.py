"""Which images train, which stop the training early and which test its result: disjoint by unit and by content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from calibrate.datasets.leakage import check_disjoint
from calibrate.datasets.sample import DataSet, Sample
from calibrate.datasets.units import split_units
from calibrate.defects.on_images import EVALUATION_KINDS, TUNE_KINDS, DefectRequest, Item
from calibrate.errors import DataError

Mode = Literal["masks", "labels", "good only"]
WantedSplit = Literal["train", "test", "all"]
VALIDATION_SHARE, TEST_SHARE = 0.15, 0.25
MAX_SYNTHETIC = 2000
MAX_IMAGES = 10_000
"""An adapter lists all of them in its manifest, whose size is bounded."""
_TRAIN_SEED, _VALIDATION_SEED, _TEST_SEED = range(3)

MODE_TEXT: dict[Mode, str] = {
    "masks": "anomalous images with masks: image and pixel losses",
    "labels": "anomalous images without masks: image losses only",
    "good only": "normal images only: defects are painted on them, so the comparison is synthetic",
}


@dataclass(frozen=True)
class TuningSplit:
    """Items by what they do; `samples` are the files behind all of them."""

    mode: Mode
    train: tuple[Item, ...]
    validation: tuple[Item, ...]
    test: tuple[Item, ...]

    @property
    def samples(self) -> list[Sample]:
        """Each once, in a fixed order."""
        return list(dict.fromkeys(item.sample for item in (*self.train, *self.validation, *self.test)))


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


def make_split(samples: Sequence[Sample], synthetic: int, seed: int) -> TuningSplit:
    """60 % of the units train, 15 % validate, 25 % test, apart for normal and for anomalous units.

    Good only: `synthetic` painted versions of each image to train on, at most MAX_SYNTHETIC in all; one painted
    version of each to validate; and to test, one with a kind of defect that is painted nowhere else.
    Raises DataError when there are too few units, or two parts share an image.
    """
    mode = mode_of(samples)
    defective = {s.unit for s in samples if s.label}
    train: list[Sample] = []
    validation: list[Sample] = []
    test: list[Sample] = []
    for name, stratum in (
        ("normal", [s for s in samples if s.unit not in defective]),
        ("anomalous", [s for s in samples if s.unit in defective]),
    ):
        if name == "anomalous" and mode == "good only":
            continue
        units = len({s.unit for s in stratum})
        if units < 3:
            raise DataError(
                f"{units} {name} units are too few: training, early stopping and testing need one each; bring 3 or more"
            )
        tested, rest = split_units(stratum, max(1, round(TEST_SHARE * units)))
        validating, training = split_units(rest, max(1, round(VALIDATION_SHARE * units)))
        test, validation, train = test + tested, validation + validating, train + training
    check_disjoint({"training": train, "early stopping": validation, "testing": test})
    items = TuningSplit(mode, *(tuple(map(Item, part)) for part in (train, validation, test)))
    if mode != "good only":
        return items
    count = min(synthetic * len(train), MAX_SYNTHETIC)
    return TuningSplit(
        mode,
        items.train + _painted(train, count, TUNE_KINDS, (seed, _TRAIN_SEED)),
        items.validation + _painted(validation, len(validation), TUNE_KINDS, (seed, _VALIDATION_SEED)),
        items.test + _painted(test, len(test), EVALUATION_KINDS, (seed, _TEST_SEED)),
    )


def _painted(normal: Sequence[Sample], count: int, kinds: tuple[str, ...], seed: tuple[int, int]) -> tuple[Item, ...]:
    return tuple(Item(normal[i % len(normal)], DefectRequest(kinds, (*seed, i))) for i in range(count))
