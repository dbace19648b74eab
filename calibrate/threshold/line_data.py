"""Which images of a data set a line's threshold is made of, and in which disjoint parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal

from calibrate.datasets.sample import DataSet, Sample
from calibrate.datasets.splits import check_disjoint, split_units
from calibrate.errors import DataError, RefusedError
from fbclip.errors import ConfigError

Method = Literal["order-statistic", "recall", "f1", "manual"]


@dataclass(frozen=True)
class LineData:
    """Normal and anomalous images of one class; notes: what was left out and why, one line each."""

    normal: tuple[Sample, ...]
    anomalous: tuple[Sample, ...]
    notes: tuple[str, ...]

    @property
    def samples(self) -> tuple[Sample, ...]:
        return self.normal + self.anomalous

    @property
    def normal_units(self) -> int:
        return len({s.unit for s in self.normal})

    @property
    def anomalous_units(self) -> int:
        return len({s.unit for s in self.anomalous})


@dataclass(frozen=True)
class ThresholdSplit:
    """Images by what they do: set the scale of z, set the threshold, or measure what it does."""

    scale: list[Sample]
    normal: list[Sample]
    anomalous: list[Sample]
    check_normal: list[Sample]
    check_anomalous: list[Sample]


def select(data: DataSet, class_name: str | None, with_anomalous: bool) -> LineData:
    """The normal images of `train` where it has any, else all; anomalous ones only `with_anomalous`, of every split.

    So normal test images stay unseen for a later evaluation. Raises ConfigError for a class that is missing or has to
    be named, DataError without normal images.
    """
    classes = ", ".join(data.classes)
    if class_name is None and len(data.classes) > 1:
        raise ConfigError(f"{data.root}: several classes, name one with --class: {classes}")
    if class_name is not None and class_name not in data.classes:
        raise ConfigError(f"--class {class_name!r}: {data.root} has {classes}")
    mine = [s for s in data.samples if class_name in {None, s.class_name}]
    normal = [s for s in mine if s.label is False]
    train = [s for s in normal if s.split == "train"]
    anomalous = [s for s in mine if s.label]
    if not normal:
        raise DataError(f"{data.root}: no normal images; a threshold starts from normal units")
    notes = [f"{len(data.problems)} notes on the data; `calibrate data` lists them"] if data.problems else []
    unlabelled = sum(s.label is None for s in mine)
    if unlabelled:
        notes.append(f"{unlabelled} images without a label are left out")
    if train and len(train) < len(normal):
        notes.append(f"{len(normal) - len(train)} normal images outside of train are left for evaluation")
    if anomalous and not with_anomalous:
        notes.append(f"{len(anomalous)} anomalous images are not used; --recall, --f1 and --threshold use them")
    tested = sum(s.split == "test" for s in anomalous) if with_anomalous else 0
    if tested:
        notes.append(f"{tested} anomalous images of test are used; evaluate on other ones")
    return LineData(tuple(train or normal), tuple(anomalous) if with_anomalous else (), tuple(notes))


def split(data: LineData, method: Method, scale_units: int) -> ThresholdSplit:
    """Parts that share no unit and no image's bytes. Raises DataError naming the first that two of them share.

    The scale comes first; of the rest `f1` chooses with one half and measures with the other, `manual` only measures,
    and the bounds take all.
    """
    scale, normal = split_units(data.normal, scale_units)
    anomalous: list[Sample] = list(data.anomalous)
    check_normal: list[Sample] = []
    check_anomalous: list[Sample] = []
    if method == "f1":
        normal, check_normal = _halves(normal, "normal")
        anomalous, check_anomalous = _halves(anomalous, "anomalous")
    elif method == "manual":
        normal, check_normal = [], normal
        anomalous, check_anomalous = [], anomalous
    check_disjoint(
        {
            "the scale's normal images": scale,
            "the threshold's normal images": normal,
            "the anomalous images": anomalous,
            "the measured normal images": check_normal,
            "the measured anomalous images": check_anomalous,
        }
    )
    return ThresholdSplit(scale, normal, anomalous, check_normal, check_anomalous)


def _halves(samples: Sequence[Sample], kind: str) -> tuple[list[Sample], list[Sample]]:
    units = len({s.unit for s in samples})
    if units < 2:
        raise RefusedError(
            f"--f1 chooses with one half of the {kind} units and measures with the other; there are {units}"
        )
    return split_units(samples, units // 2)


def check_unseen(samples: Sequence[Sample], seen: Mapping[str, Set[str]]) -> None:
    """Raises DataError naming the first image whose bytes are in one of `seen`: where -> sha256 of its images."""
    for where, digests in seen.items():
        shared = [s for s in samples if s.sha256 in digests]
        if shared:
            raise DataError(
                f"{shared[0].path} is in {where} as well ({len(shared)} images are); "
                "a threshold needs images that nothing else was fitted to"
            )
