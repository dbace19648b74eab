"""What a data set holds, and what keeps it from being used."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from calibrate.datasets.capture_order import capture_order
from calibrate.datasets.duplicates import same_bytes
from calibrate.datasets.leakage import shared_images
from calibrate.datasets.near_duplicates import near_duplicates
from calibrate.datasets.order_dependence import OrderDependence, dependence_text, order_dependence, unit_picture
from calibrate.datasets.sample import DataSet, Sample
from calibrate.datasets.sizes import Size, measure
from calibrate.datasets.unit_images import of_units

_LABELS = {False: "good", True: "defective", None: "unlabelled"}

MAX_LINES = 20


@dataclass(frozen=True)
class ClassSummary:
    """counts: split ("train", "test", "none") -> good, defective, unlabelled images; kinds: defect -> images."""

    name: str
    counts: dict[str, dict[str, int]]
    kinds: dict[str, int]
    units: int
    masks: int


@dataclass(frozen=True)
class SizeSummary:
    """(width, height) of the images with the fewest, the middle and the most pixels; distinct: number of sizes."""

    smallest: Size
    median: Size
    largest: Size
    distinct: int


@dataclass(frozen=True)
class Summary:
    """Files are named relative to `root`; every list has one line a file, `same_bytes` one group of files an image.

    copies: files left out because another has the same bytes, label and split; same_bytes: those that are still
    there, in several splits or under several labels; near_duplicates: groups of normal units that
    look the same, which a threshold counts once; dependence: class -> whether its normal units depend on those before
    them; notes: what is worth knowing and does no harm.
    """

    root: str
    layout: str
    pictures: int
    classes: tuple[ClassSummary, ...]
    sizes: SizeSummary | None
    copies: int
    same_bytes: tuple[tuple[str, ...], ...]
    leakage: tuple[str, ...]
    two_labels: tuple[str, ...]
    mask_sizes: tuple[str, ...]
    unreadable: tuple[str, ...]
    near_duplicates: tuple[tuple[str, ...], ...]
    dependence: dict[str, OrderDependence]
    notes: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """False when a figure measured on this set would be wrong."""
        return not (self.leakage or self.two_labels or self.mask_sizes or self.unreadable)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "usable": self.usable}


def summarise(data: DataSet) -> Summary:
    """Counts and faults of a set; reads every file once, for its header. A file that cannot be read is listed."""
    measured = measure(data.samples, data.root)
    alike = {name: _alike(data, name) for name in data.classes}
    return Summary(
        root=str(data.root),
        layout=data.layout,
        pictures=len(data.samples),
        classes=tuple(_class(name, [s for s in data.samples if s.class_name == name]) for name in data.classes),
        sizes=_sizes(measured.sizes),
        copies=sum(p.kind == "copy" for p in data.problems),
        same_bytes=tuple(tuple(_name(s, data.root) for s in group) for group in same_bytes(data.samples)),
        leakage=tuple(_leakage(data)),
        two_labels=tuple(str(p) for p in data.problems if p.kind == "two labels"),
        mask_sizes=measured.mask_sizes,
        unreadable=measured.unreadable,
        near_duplicates=tuple(group for groups, _ in alike.values() for group in groups),
        dependence={name: found for name, (_, found) in alike.items() if found is not None},
        notes=tuple(str(p) for p in data.problems if p.kind != "two labels"),
    )


def _alike(data: DataSet, class_name: str) -> tuple[tuple[tuple[str, ...], ...], OrderDependence | None]:
    """(groups of units that look the same, how units depend on those before them), of a class's normal images.

    Those that a threshold would be made of are put in order: of train, where there are any.
    """
    normal = [s for s in data.normal() if s.class_name == class_name]
    pictures = dict(of_units(normal, unit_picture))
    groups = near_duplicates({unit: one.small for unit, one in pictures.items()}).groups
    used = [s for s in normal if s.split == "train"] or normal
    return groups, order_dependence(pictures, capture_order(data.root, used)) if used else None


def _name(sample: Sample, root: Path) -> str:
    return sample.path.relative_to(root).as_posix()


def _class(name: str, samples: Sequence[Sample]) -> ClassSummary:
    found: Counter[tuple[str, str]] = Counter((s.split or "none", _LABELS[s.label]) for s in samples)
    splits = [split for split in ("train", "test", "none") if any(key[0] == split for key in found)]
    return ClassSummary(
        name=name,
        counts={split: {label: found[split, label] for label in _LABELS.values()} for split in splits},
        kinds=dict(sorted(Counter(s.kind for s in samples if s.kind is not None).items())),
        units=len({s.unit for s in samples}),
        masks=sum(s.mask is not None for s in samples),
    )


def _sizes(sizes: Sequence[Size]) -> SizeSummary | None:
    if not sizes:
        return None
    ordered = sorted(sizes, key=lambda s: (s[0] * s[1], s))
    return SizeSummary(ordered[0], ordered[(len(ordered) - 1) // 2], ordered[-1], len(set(sizes)))


def _leakage(data: DataSet) -> list[str]:
    """One line for each test image whose bytes, or else whose unit, are in train as well."""
    train = [s for s in data.samples if s.split == "train"]
    test = [s for s in data.samples if s.split == "test"]
    lines = []
    for shared in shared_images(test, train):
        name, twin = _name(shared.sample, data.root), _name(shared.twin, data.root)
        if shared.same_bytes:
            lines.append(f"{name}: in test, and the same bytes in train as {twin}")
        else:
            lines.append(f"{name}: in test, and its unit {shared.sample.unit} in train with {twin}")
    return lines


def summary_text(summary: Summary) -> str:
    """Plain text: a table of the classes, sizes, and the first MAX_LINES of each list of faults."""
    table = Table("class", "split", "good", "defective", "unlabelled", "units", "masks", "kinds")
    for one in summary.classes:
        for row, (split, counts) in enumerate(one.counts.items()):
            # Units, masks and kinds are of the class as a whole: once, in its first row.
            kinds = ", ".join(f"{kind} {n}" for kind, n in one.kinds.items())
            whole = ("", "", "", "") if row else (one.name, str(one.units), str(one.masks), kinds)
            table.add_row(whole[0], split, *(str(n) for n in counts.values()), *whole[1:])
    lines = [f"{summary.root}: {summary.pictures} images, layout {summary.layout}", _plain(table)]
    if summary.sizes is not None:
        s = summary.sizes
        small, middle, large = (f"{w}x{h}" for w, h in (s.smallest, s.median, s.largest))
        lines.append(f"sizes: {small} to {large}, median {middle}, {s.distinct} different")
    lines.append(f"copies left out: {summary.copies}")
    lines += _section("train and test share images or units", summary.leakage)
    lines += _section("same bytes, two labels", summary.two_labels)
    lines += _section("masks of another size", summary.mask_sizes)
    lines += _section("unreadable", summary.unreadable)
    lines += _section(
        "units that look the same, of which a threshold counts one", [" = ".join(g) for g in summary.near_duplicates]
    )
    for name, found in summary.dependence.items():
        lines.append(f"{f'{name}: ' if len(summary.classes) > 1 else ''}{dependence_text(found)}")
    lines += _section("notes", summary.notes)
    lines.append("usable" if summary.usable else "NOT USABLE as it is")
    return "\n".join(lines)


def _plain(table: Table) -> str:
    # Names of files and classes may hold brackets, which rich would take for markup.
    text = io.StringIO()
    Console(file=text, width=120, markup=False, emoji=False, highlight=False).print(table)
    return text.getvalue().rstrip()


def _section(title: str, faults: Sequence[str]) -> list[str]:
    if not faults:
        return []
    rest = [f"  ... and {len(faults) - MAX_LINES} more; --json lists all"] if len(faults) > MAX_LINES else []
    return [f"{title}: {len(faults)}", *(f"  {line}" for line in faults[:MAX_LINES]), *rest]
