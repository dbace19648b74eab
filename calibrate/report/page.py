"""From a run to one HTML file that needs nothing else: no script, no request, images inside."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from calibrate.few_shot.document import FewShot
from calibrate.report import few_shot as few_shot_panels
from calibrate.report import histogram, wording
from calibrate.report.counts import VerdictCounts, by_kind
from calibrate.report.curves import TOGETHER, Kind, groups
from calibrate.report.intervals import ImageIntervals, Intervals, image_intervals
from calibrate.report.reading import JudgedBy, Metrics, ReportImage, ReportRun, StoredEvaluation
from calibrate.report.rows import ReportRow
from calibrate.report.whisker import whisker

_HERE = Path(__file__).resolve().parent / "template"
_TEMPLATES = Environment(
    loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_TEMPLATES.filters |= {
    "number": wording.number,
    "percent": wording.percent,
    "interval": wording.interval,
    "between": wording.between,
    "whisker": whisker,
    "plain": wording.plain,
}
METRICS = {
    "image_auroc": "AUROC",
    "image_ap": "AP",
    "image_f1_max": "best F1",
    "pixel_auroc": "AUROC",
    "pixel_ap": "AP",
    "pixel_f1_max": "best F1",
    "pixel_aupro": "AUPRO",
}
DEFINITIONS = {
    "exact": "Ties count exactly; AUPRO is the area under PRO up to a false-positive rate of 0.3, divided by 0.3.",
    "paper": "By the definitions of the released code, to be compared with published figures only.",
}
LISTED = 100


@dataclass(frozen=True)
class Key:
    """One of the numbers to read first."""

    label: str
    value: str
    detail: str


@dataclass(frozen=True)
class MetricRow:
    """A class, or the mean over all; intervals of some of the metrics."""

    name: str
    metrics: Metrics
    intervals: Intervals


@dataclass(frozen=True)
class Scores:
    """The histogram for wide and for narrow screens; `gathered` where it has bins for far outliers."""

    charts: list[Markup]
    gathered: bool


def render(run: ReportRun, few_shot: FewShot | None = None) -> str:
    """The page's text; with `few_shot` also what a number of normal images is worth."""
    e = run.evaluation
    # The paper's numbers rank by another score than the margins that a run stores.
    sure = ImageIntervals() if e.definition == "paper" else image_intervals(run.rows)
    metric_rows = _metric_rows(e, sure)
    units = {} if e.confusion is None else e.confusion.units
    normal, anomalous = (VerdictCounts(name, units.get(name, {})) for name in ("good", "defective"))
    return _TEMPLATES.get_template("page.html").render(
        # The style sheet is a file of this package, not something that was read from a run.
        css=Markup((_HERE / "page.css").read_text(encoding="utf-8")),  # noqa: S704
        e=e,
        command=e.command if isinstance(e.command, str) else shlex.join(e.command or ()),
        definition=DEFINITIONS.get(e.definition or "", e.definition),
        heat=e.heat_limits or (None if e.profile is None else e.profile.map_limits),
        statement=_statement(e, normal),
        warnings=_warnings(e, normal),
        keys=_keys(e, normal, anomalous, sure),
        scores=_scores(run.rows, e.profile),
        curves=groups(e.curves, _operating(run.rows, e)),
        class_names=list(e.curves) if len(e.curves) <= TOGETHER else [],
        confusion=[t for t in (normal, anomalous) if t.total],
        rejected=normal.share("rejected").count + anomalous.share("rejected").count > 0,
        kinds=by_kind(e.kinds),
        metric_names=METRICS,
        metric_rows=metric_rows,
        undefined=any(value is None for row in metric_rows for value in row.metrics.model_dump().values()),
        choice=None if e.profile is None else e.profile.fusion_choice,
        few_shot=few_shot,
        few_shot_note=None if few_shot is None else _few_shot_note(e, few_shot),
        blocks=[] if few_shot is None else few_shot_panels.blocks(few_shot),
        ways=few_shot_panels.DRAWN,
        tabled=few_shot_panels.TABLED,
        worst=[(p.about, _data_uri(p)) for p in run.images],
        repeat=_repeat(e),
        listed=LISTED,
    )


def _statement(e: StoredEvaluation, normal: VerdictCounts) -> wording.Statement:
    if e.profile is not None:
        said = wording.guarantee(e.profile.calibration)
        if wording.contradiction(e.profile.calibration, normal) is not None:
            return replace(said, tone="bad", head=f"Not kept here: {said.head[0].lower()}{said.head[1:]}")
        return said
    return wording.Statement(
        "none",
        "No threshold was applied",
        "The run was evaluated without a profile: scores are ranked, nothing is judged, nothing is promised.",
    )


def _warnings(e: StoredEvaluation, normal: VerdictCounts) -> list[str]:
    found = []
    if e.data.synthetic:
        found.append(
            e.data.synthetic
            if isinstance(e.data.synthetic, str)
            else "Synthetic evidence: the defects are painted, not real. Real defects may be found less often."
        )
    # What a run notes on evidence that is not real belongs where nobody can miss it.
    found += [note for note in e.notes if "synthetic" in note.lower()]
    if e.profile is not None and (broken := wording.contradiction(e.profile.calibration, normal)) is not None:
        found.append(broken)
    return found


def _keys(e: StoredEvaluation, normal: VerdictCounts, anomalous: VerdictCounts, sure: ImageIntervals) -> list[Key]:
    keys = []
    for label, group, verdict in (
        ("Defects found", anomalous, "anomaly"),
        ("Defects missed", anomalous, "ok"),
        ("False alarms", normal, "anomaly"),
        ("Normal but uncertain", normal, "uncertain"),
    ):
        s = group.share(verdict)
        if s.total:
            units = f"{s.count:,} of {wording.plural(s.total, f'{group.name} unit')}"
            keys.append(Key(label, wording.percent(s.rate), f"{units}; 95\u00a0% interval {wording.interval(s)}"))
    mean = f"; mean of {len(e.classes)} classes" if len(e.classes) > 1 else ""
    for label, metric, value, meaning in (
        (
            "Image AUROC",
            "image_auroc",
            e.mean.image_auroc,
            "chance that an anomalous image scores higher than a normal one",
        ),
        ("AUPRO", "pixel_aupro", e.mean.pixel_aupro, "how well the map covers the defects' regions"),
    ):
        between = sure.mean.get(metric)
        reach = "" if value is None or between is None else f"95\u00a0% interval {wording.between(between)}; "
        keys.append(Key(label, wording.number(value), reach + meaning + mean))
    return keys


def _scores(rows: Iterable[ReportRow], profile: JudgedBy | None) -> Scores | None:
    """Drawn twice, for wide and for narrow screens, so that its lettering has one size on both."""
    values: dict[bool, list[float]] = {False: [], True: []}
    for row in rows:
        value = row.margin if profile is None else row.z
        if row.anomalous is not None and value is not None:
            values[row.anomalous].append(value)
    normal, anomalous = (np.array(values[key], np.float64) for key in (False, True))
    if not len(normal) + len(anomalous):
        return None
    marks = histogram.Marks() if profile is None else histogram.Marks(profile.threshold, profile.uncertain_above)
    quantity = "margin (logit difference)" if profile is None else "z (the profile's statistic)"
    bins = histogram.make_bins(normal, anomalous, marks)
    charts = [
        histogram.draw(bins, marks, quantity, width, height, css)
        for width, height, css in ((1120, 380, "wide"), (350, 360, "narrow"))
    ]
    return Scores(charts, sum(bins.below) + sum(bins.above) > 0)


def _operating(rows: Iterable[ReportRow], e: StoredEvaluation) -> dict[tuple[str, Kind], tuple[float, float]]:
    """Where the threshold lies on the curves of images; a class with no alarm has no precision."""
    if e.profile is None:
        return {}
    counts: dict[str, dict[tuple[bool, bool], int]] = {}
    for row in rows:
        if row.anomalous is not None and row.z is not None:
            of_class = counts.setdefault(row.class_name, {})
            key = (row.anomalous, row.verdict == "anomaly")
            of_class[key] = of_class.get(key, 0) + 1
    points: dict[tuple[str, Kind], tuple[float, float]] = {}
    for name, c in counts.items():
        tp, fn, fp, tn = (c.get(k, 0) for k in ((True, True), (True, False), (False, True), (False, False)))
        if tp + fn and fp + tn:
            points[name, "roc"] = fp / (fp + tn), tp / (tp + fn)
        if tp + fn and tp + fp:
            points[name, "pr"] = tp / (tp + fn), tp / (tp + fp)
    return points


def _metric_rows(e: StoredEvaluation, sure: ImageIntervals) -> list[MetricRow]:
    rows = [MetricRow(name, metrics, sure.classes.get(name, {})) for name, metrics in e.classes.items()]
    return [*rows, MetricRow("mean", e.mean, sure.mean)] if len(rows) > 1 else rows


def _few_shot_note(e: StoredEvaluation, found: FewShot) -> str | None:
    """Said where the curves are of another model than the run."""
    differ = [
        f"{name} {curves[:12]}, the run with {ran[:12]}"
        for name, curves, ran in (
            ("backbone", found.backbone, e.model.backbone or "another"),
            ("adapter", found.adapter, e.model.adapter or "another"),
        )
        if curves != ran
    ]
    return f"Not of the model of this run: the curves were made with {'; '.join(differ)}." if differ else None


def _data_uri(image: ReportImage) -> str | None:
    if image.jpeg is None:
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(image.jpeg).decode()}"


def _repeat(e: StoredEvaluation) -> list[tuple[str, Any]]:
    """What has to be the same for the same numbers."""
    m = e.model
    rows: list[tuple[str, Any]] = [
        ("data sha256", e.data.data_sha256),
        ("adapter", m.adapter),
        ("backbone", m.backbone),
        ("weights sha256", m.backbone_sha256),
        ("precision", m.precision),
        ("device", m.device),
        ("input size", None if m.size is None else f"{m.size} × {m.size} px"),
        ("profile", None if e.profile is None else e.profile.id),
    ]
    rows += [(name.replace("_", " "), value) for name, value in e.framing.items() if value]
    rows.append(("versions", " · ".join(f"{name} {wording.plain(v)}" for name, v in e.versions.items()) or None))
    return [(name, value) for name, value in rows if value is not None]
