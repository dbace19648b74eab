"""What to read first: the promise and whether it was kept, warnings, and the numbers that matter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from calibrate.evaluation.document import EvaluationDocument
from calibrate.report.metrics import ImageIntervals
from calibrate.report.verdicts import VerdictRow
from calibrate.report.wording import INTERVAL, between, interval, number, percent, share
from calibrate.statistics.intervals import Rate
from calibrate.threshold.guarantee_text import alarm_verb, guarantee_text
from calibrate.wording import plural
from fbclip.artefacts.profile import Calibration
from fbclip.artefacts.seal import Seal
from fbclip.decision import Verdict
from fbclip.picture_health.summary import picture_summary

PAINTED = "Synthetic evidence: the defects are painted, not real. Real defects may be found less often."
BLIND = (
    "Blind: nothing shows that this threshold finds even large defects. Look at the normal units that set it: an "
    "anomalous one among them is the usual reason."
)

Tone = Literal["promised", "none", "broken"]


@dataclass(frozen=True)
class Statement:
    """What may be relied on: one sentence, and what it rests on."""

    tone: Tone
    head: str
    basis: str


@dataclass(frozen=True)
class KeyNumber:
    """One of the numbers to read first."""

    label: str
    value: str
    detail: str


@dataclass(frozen=True)
class Findings:
    statement: Statement
    warnings: tuple[str, ...]
    numbers: tuple[KeyNumber, ...]


def findings(
    evaluation: EvaluationDocument, normal: VerdictRow, anomalous: VerdictRow, intervals: ImageIntervals
) -> Findings:
    """Of a run with these verdicts on its units; `intervals`: of its image numbers."""
    warnings, broken = list(_rejected_defects(evaluation)), None
    if evaluation.data.synthetic:
        warnings.append(evaluation.data.synthetic if isinstance(evaluation.data.synthetic, str) else PAINTED)
    if evaluation.profile is not None:
        calibration = evaluation.profile.calibration
        broken = broken_promise(calibration, normal)
        if broken is not None:
            warnings.append(_contradiction(calibration, broken))
        statement = _kept_or_not(promise(calibration, evaluation.profile.seal), broken)
        if evaluation.profile.sees is not None and evaluation.profile.sees.blind:
            warnings.append(BLIND)
        pictures = f"Pictures: {picture_summary(evaluation.profile.picture)}."
        statement = replace(statement, basis=f"{statement.basis} {pictures}")
    else:
        statement = Statement(
            "none",
            "No threshold was applied",
            "The run was evaluated without a profile: scores are ranked, nothing is judged, nothing is promised.",
        )
    numbers = (*_verdict_numbers(normal, anomalous), *_metric_numbers(evaluation, intervals))
    return Findings(statement, tuple(warnings), numbers)


def promise(calibration: Calibration, seal: Seal = Seal.SEALED) -> Statement:
    """What a profile promises, or why it promises nothing."""
    text = guarantee_text(calibration, seal)
    basis = f"{text.units}. One unit is one {text.unit}."
    if not text.promised:
        if text.measured:
            basis = f"Units that did not choose it: {'; '.join(text.measured)}."
        return Statement("none", f"No guarantee: {text.false_alarms}", basis)
    if text.recall is not None:
        basis = f"{'And' if text.recall_promised else 'Not promised:'} {text.recall}. {basis}"
    return Statement("promised", text.false_alarms[0].upper() + text.false_alarms[1:], basis)


def broken_promise(calibration: Calibration, normal: VerdictRow) -> Rate | None:
    """The alarms on the normal units measured here, where they rule the promise out."""
    bounded = (Verdict.ANOMALY, Verdict.UNCERTAIN) if calibration.bounds == "uncertain" else (Verdict.ANOMALY,)
    alarms = normal.rate(*bounded)
    if calibration.guarantee is None or alarms.low is None or alarms.low <= calibration.guarantee.false_alarm_rate:
        return None
    return alarms


def _rejected_defects(evaluation: EvaluationDocument) -> list[str]:
    counts = evaluation.rejected.anomalous
    if not counts:
        return []
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))
    total = plural(sum(counts.values()), "anomalous image")
    return [f"{total} got no verdict ({reasons}): on the line they raise an event, but a person has to judge them."]


def _kept_or_not(promised: Statement, broken: Rate | None) -> Statement:
    if broken is None:
        return promised
    return Statement("broken", f"Not kept here: {promised.head[0].lower()}{promised.head[1:]}", promised.basis)


def _contradiction(calibration: Calibration, alarms: Rate) -> str:
    return (
        f"The normal units measured here {alarm_verb(calibration)} more often than promised: {share(alarms)}. Either "
        "they are not like those the threshold was set on, or the line has changed; set the threshold anew."
    )


def _verdict_numbers(normal: VerdictRow, anomalous: VerdictRow) -> list[KeyNumber]:
    numbers = []
    for label, row, verdict in (
        ("Defects found", anomalous, Verdict.ANOMALY),
        ("Defects missed", anomalous, Verdict.OK),
        ("False alarms", normal, Verdict.ANOMALY),
        ("Normal but uncertain", normal, Verdict.UNCERTAIN),
    ):
        rate = row.rate(verdict)
        if rate.total:
            units = f"{rate.count:,} of {plural(rate.total, f'{row.name} unit')}"
            numbers.append(KeyNumber(label, percent(rate.rate), f"{units}; {INTERVAL} {interval(rate)}"))
    return numbers


def _metric_numbers(evaluation: EvaluationDocument, intervals: ImageIntervals) -> list[KeyNumber]:
    mean = evaluation.mean
    averaged = f"; mean of {len(evaluation.classes)} classes" if len(evaluation.classes) > 1 else ""
    ends = intervals.mean.get("image_auroc")
    measured = "" if mean.image_auroc is None or ends is None else f"{INTERVAL} {between(ends)}; "
    return [
        KeyNumber(
            "Image AUROC",
            number(mean.image_auroc),
            f"{measured}chance that an anomalous image scores higher than a normal one{averaged}",
        ),
        KeyNumber("AUPRO", number(mean.pixel_aupro), f"how well the map covers the defects' regions{averaged}"),
    ]
