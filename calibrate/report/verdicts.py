"""Units by verdict as rows of a table: shares with exact intervals, and a small bar that shows one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from calibrate.evaluation.document import EvaluationDocument, KindCounts, VerdictCounts
from calibrate.report.svg import Drawing
from calibrate.report.wording import share
from calibrate.statistics.intervals import CONFIDENCE, Rate, measured_rate
from fbclip.decision import Verdict

WIDTH, HEIGHT, PAD = 160, 16, 5


@dataclass(frozen=True)
class VerdictRow:
    """The units of one label, or of one kind of defect, by verdict."""

    name: str
    counts: VerdictCounts
    class_name: str = ""

    @property
    def total(self) -> int:
        return self.counts.total

    def rate(self, *verdicts: Verdict) -> Rate:
        """Of units with one of these verdicts."""
        return measured_rate(sum(self.counts.of(verdict) for verdict in verdicts), self.total)


def label_rows(evaluation: EvaluationDocument) -> tuple[VerdictRow, VerdictRow]:
    """Of normal and of anomalous units; without verdicts both are empty."""
    if evaluation.confusion is None:
        return VerdictRow("normal", VerdictCounts()), VerdictRow("anomalous", VerdictCounts())
    units = evaluation.confusion.units
    return VerdictRow("normal", units.normal), VerdictRow("anomalous", units.anomalous)


def kind_rows(kinds: Mapping[str, Mapping[str, KindCounts]]) -> list[VerdictRow]:
    """Class -> kind of defect -> verdicts, as one list: the least often found first."""
    rows = [VerdictRow(kind, counts, name) for name, of_class in kinds.items() for kind, counts in of_class.items()]
    return sorted(rows, key=lambda row: (row.rate(Verdict.ANOMALY).rate or 0.0, row.class_name, row.name))


def whisker(rate: Rate, confidence: float = CONFIDENCE) -> Markup:
    """A rate and its interval as a small bar from 0 to 100%; nothing for 0 of 0."""
    if rate.rate is None or rate.interval is None:
        return Markup()
    drawing = Drawing(WIDTH, HEIGHT, share(rate, confidence), "whisker")
    low, at, high = (PAD + v * (WIDTH - 2 * PAD) for v in (rate.interval[0], rate.rate, rate.interval[1]))
    middle = HEIGHT / 2
    drawing.line(PAD, middle, WIDTH - PAD, middle, "track")
    drawing.line(low, middle, high, middle, "reach")
    drawing.add("circle", "rate", cx=at, cy=middle, r=4)
    return drawing.markup()
