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
    """Good and defective images of one class; notes: what was left out and why, one line each."""

    good: tuple[Sample, ...]
    bad: tuple[Sample, ...]
    notes: tuple[str, ...]

    @property
    def samples(self) -> tuple[Sample, ...]:
        return self.good + self.bad

    @property
    def good_units(self) -> int:
        return len({s.unit for s in self.good})

    @property
    def bad_units(self) -> int:
        return len({s.unit for s in self.bad})


@dataclass(frozen=True)
class Parts:
    """Images by what they do: set the scale of z, set the threshold, or measure what it does."""

    scale: list[Sample]
    good: list[Sample]
    bad: list[Sample]
    check_good: list[Sample]
    check_bad: list[Sample]


def select(data: DataSet, class_name: str | None, with_bad: bool) -> LineData:
    """The good images of `train` where it has any, else all; defective ones only `with_bad`, of every split.

    So good test images stay unseen for a later evaluation. Raises ConfigError for a class that is missing or has to
    be named, DataError without good images.
    """
    classes = ", ".join(data.classes)
    if class_name is None and len(data.classes) > 1:
        raise ConfigError(f"{data.root}: several classes, name one with --class: {classes}")
    if class_name is not None and class_name not in data.classes:
        raise ConfigError(f"--class {class_name!r}: {data.root} has {classes}")
    mine = [s for s in data.samples if class_name in {None, s.class_name}]
    good = [s for s in mine if s.label is False]
    train = [s for s in good if s.split == "train"]
    bad = [s for s in mine if s.label]
    if not good:
        raise DataError(f"{data.root}: no good images; a threshold starts from good units")
    notes = [f"{len(data.problems)} notes on the data; `calibrate data` lists them"] if data.problems else []
    unlabelled = sum(s.label is None for s in mine)
    if unlabelled:
        notes.append(f"{unlabelled} images without a label are left out")
    if train and len(train) < len(good):
        notes.append(f"{len(good) - len(train)} good images outside of train are left for evaluation")
    if bad and not with_bad:
        notes.append(f"{len(bad)} defective images are not used; --recall, --f1 and --threshold use them")
    tested = sum(s.split == "test" for s in bad) if with_bad else 0
    if tested:
        notes.append(f"{tested} defective images of test are used; evaluate on other ones")
    return LineData(tuple(train or good), tuple(bad) if with_bad else (), tuple(notes))


def split(data: LineData, method: Method, scale_units: int) -> Parts:
    """Parts that share no unit and no image's bytes. Raises DataError naming the first that two of them share.

    The scale comes first; of the rest `f1` chooses with one half and measures with the other, `manual` only measures,
    and the bounds take all.
    """
    scale, good = split_units(data.good, scale_units)
    bad: list[Sample] = list(data.bad)
    check_good: list[Sample] = []
    check_bad: list[Sample] = []
    if method == "f1":
        good, check_good = _halves(good, "good")
        bad, check_bad = _halves(bad, "defective")
    elif method == "manual":
        good, check_good = [], good
        bad, check_bad = [], bad
    check_disjoint(
        {
            "the scale's good images": scale,
            "the threshold's good images": good,
            "the defective images": bad,
            "the measured good images": check_good,
            "the measured defective images": check_bad,
        }
    )
    return Parts(scale, good, bad, check_good, check_bad)


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
