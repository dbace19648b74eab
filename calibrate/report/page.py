"""From a run to one HTML file that needs nothing else: no script, no request, images inside."""

from __future__ import annotations

import base64
import shlex
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from calibrate.evaluation.document import EvaluationDocument
from calibrate.few_shot.document import FewShot
from calibrate.report import few_shot as few_shot_panels
from calibrate.report import wording
from calibrate.report.curves import TOGETHER, curve_groups, operating_points
from calibrate.report.findings import findings
from calibrate.report.histogram import score_histogram
from calibrate.report.metrics import DEFINITIONS, HEADS, ImageIntervals, image_intervals, metric_rows
from calibrate.report.reading import ReportImage, ReportRun
from calibrate.report.sight import rule_rows, sight_rows
from calibrate.report.verdicts import kind_rows, label_rows, whisker
from fbclip.decision import Verdict

LISTED = 100
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


def template(name: str) -> Template:
    """One of this package's pages, with the filters that all of them use."""
    return _TEMPLATES.get_template(name)


def render(run: ReportRun, few_shot: FewShot | None = None) -> str:
    """The page's text; with `few_shot` also what a number of normal images is worth."""
    e = run.evaluation
    # The paper's numbers rank by another score than the margins that a run stores.
    intervals = ImageIntervals() if e.definition == "paper" else image_intervals(run.images)
    normal, anomalous = label_rows(e)
    metrics = metric_rows(e, intervals)
    sees = None if e.profile is None else e.profile.sees
    return template("page.html").render(
        # The style sheet is a file of this package, not something that was read from a run.
        css=Markup((_HERE / "page.css").read_text(encoding="utf-8")),  # noqa: S704
        e=e,
        command=shlex.join(e.command),
        definition=None if e.definition is None else DEFINITIONS[e.definition],
        heat=e.heat_limits or (None if e.profile is None else e.profile.map_limits),
        findings=findings(e, normal, anomalous, intervals),
        scores=score_histogram(run.images, e.profile),
        curves=curve_groups(e.curves, operating_points(e, run.images)),
        class_names=list(e.curves) if len(e.curves) <= TOGETHER else [],
        confusion=[row for row in (normal, anomalous) if row.total],
        rejected=normal.counts.of(Verdict.REJECTED) + anomalous.counts.of(Verdict.REJECTED) > 0,
        kinds=kind_rows(e.kinds),
        metric_heads=HEADS,
        metric_rows=metrics,
        undefined=any(value is None for row in metrics for value in row.numbers.model_dump().values()),
        choice=None if e.profile is None else e.profile.fusion_choice,
        few_shot=few_shot,
        few_shot_note=None if few_shot is None else few_shot_panels.model_note(few_shot, e.model),
        blocks=[] if few_shot is None else few_shot_panels.blocks(few_shot),
        methods=few_shot_panels.CURVES,
        columns=few_shot_panels.COLUMNS,
        sees=sees,
        sight=[] if sees is None else sight_rows(sees),
        rules=rule_rows(e.profile, run.images),
        highest=[(one.about, _png_uri(one.png)) for one in run.highest],
        worst=[(image.about, _data_uri(image)) for image in run.worst],
        conditions=_conditions(e),
        listed=LISTED,
    )


def _data_uri(image: ReportImage) -> str | None:
    if image.jpeg is None:
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(image.jpeg).decode()}"


def _png_uri(png: bytes | None) -> str | None:
    return None if png is None else f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _conditions(e: EvaluationDocument) -> list[tuple[str, object]]:
    """What has to be the same for the same numbers."""
    m = e.model
    rows: list[tuple[str, object]] = [
        ("data sha256", e.data.data_sha256),
        ("adapter", m.adapter),
        ("backbone", m.backbone),
        ("weights sha256", m.backbone_sha256),
        ("precision", m.precision),
        ("device", m.device),
        ("input size", None if m.size is None else f"{m.size} × {m.size} px"),
        ("profile", None if e.profile is None else e.profile.id),
    ]
    rows += [(name.replace("_", " "), value) for name, value in e.framing.model_dump().items() if value]
    rows.append(("versions", " · ".join(f"{name} {number}" for name, number in e.versions.items()) or None))
    return [(name, value) for name, value in rows if value is not None]
