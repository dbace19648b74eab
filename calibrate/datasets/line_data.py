"""Which images of a data set a line's threshold is made of."""

from __future__ import annotations

from dataclasses import dataclass

from calibrate.datasets.sample import DataSet, Sample
from calibrate.errors import DataError
from fbclip.errors import ConfigError


@dataclass(frozen=True)
class LineData:
    """Normal and anomalous images of one class; notes: what was left out and why, one line each.

    unused: anomalous ones that set no threshold; what it finds of them is measured.
    """

    normal: tuple[Sample, ...]
    anomalous: tuple[Sample, ...]
    notes: tuple[str, ...]
    unused: tuple[Sample, ...] = ()

    @property
    def samples(self) -> tuple[Sample, ...]:
        return self.normal + self.anomalous

    @property
    def normal_units(self) -> int:
        return len({s.unit for s in self.normal})

    @property
    def anomalous_units(self) -> int:
        return len({s.unit for s in self.anomalous})


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
        notes.append(f"{len(anomalous)} anomalous images set nothing; what the threshold finds of them is measured")
    tested = sum(s.split == "test" for s in anomalous) if with_anomalous else 0
    if tested:
        notes.append(f"{tested} anomalous images of test are used; evaluate on other ones")
    used, unused = (anomalous, []) if with_anomalous else ([], anomalous)
    return LineData(tuple(train or normal), tuple(used), tuple(notes), tuple(unused))
