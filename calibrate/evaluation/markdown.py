"""An evaluation, and a comparison of several, as Markdown for a wiki or a merge request."""

from __future__ import annotations

from collections.abc import Sequence

from calibrate.evaluation.compare import COMPARED, LETTERS, RESAMPLES, Comparison, Difference
from calibrate.evaluation.document import Confusion, EvaluationDocument, Numbers, RejectedImages, VerdictCounts
from calibrate.evaluation.numbers import METRICS
from calibrate.statistics.intervals import CONFIDENCE, Rate
from fbclip.decision import Verdict

HEADS = ("image AUROC", "image AP", "image F1", "pixel AUROC", "pixel AP", "pixel F1", "AUPRO")
_HEAD_OF = dict(zip(METRICS, HEADS, strict=True))
VERDICTS = (Verdict.OK, Verdict.UNCERTAIN, Verdict.ANOMALY, Verdict.REJECTED)


def summary(run: EvaluationDocument) -> str:
    """One table of the classes and their mean, the verdicts with a profile, and the notes."""
    data, model = run.data, run.model
    lines = [
        f"# {plain(data.name)}",
        "",
        f"{data.normal} normal and {data.anomalous} anomalous images, {data.units} units (split {data.split}). "
        f"Model {model.backbone}, {_method(model.method)}adapter {(model.adapter or '')[:12]}, {model.device}, "
        f"{model.precision}; "
        f"{run.definition} definition.",
        "",
        *table(["class", *HEADS], [_numbers(n, v) for n, v in (*run.classes.items(), ("mean", run.mean))]),
    ]
    if run.confusion is not None:
        lines += ["", *_verdicts(run.confusion), *rejected_lines(run.rejected)]
    if run.notes or data.skipped:
        lines += ["", *(f"- {plain(text)}" for text in (*run.notes, *data.skipped))]
    return "\n".join(lines) + "\n"


def comparison_text(found: Comparison) -> str:
    """The runs' means side by side, then each run against the first, class by class."""
    runs = list(zip(LETTERS, found.runs, strict=False))
    lines = [f"- {letter}: {plain(run.name)}, {_method(run.method)}adapter {run.adapter[:12]}" for letter, run in runs]
    if len({run.method for run in found.runs}) > 1:
        lines += ["", *_methods(found)]
    rows = [
        [head, *(number(getattr(run.document.mean, metric)) for run in found.runs)] for metric, head in _HEAD_OF.items()
    ]
    lines += ["", *table(["mean", *(letter for letter, _ in runs)], rows)]
    for against in found.against:
        heads = ["class", "metric", f"{against.letter} − A", f"{CONFIDENCE:.0%} interval", ""]
        cells = [
            [plain(name), _HEAD_OF[metric], *_difference(differences[metric])]
            for name, differences in (*against.classes.items(), ("mean", against.mean))
            for metric in COMPARED
        ]
        lines += ["", *table(heads, cells)]
    lines += ["", f"Paired bootstrap over units, {RESAMPLES:,} resamples.", *(f"- {note}" for note in found.notes)]
    return "\n".join(lines) + "\n"


def _methods(found: Comparison) -> list[str]:
    """One row a method: its means, and of what is compared the difference to A with its interval."""
    heads = [text for metric in COMPARED for text in (_HEAD_OF[metric], f"minus A ({CONFIDENCE:.0%})")]
    others = [metric for metric in METRICS if metric not in COMPARED]
    against = {one.letter: one for one in found.against}
    rows = []
    for letter, run in zip(LETTERS, found.runs, strict=False):
        cells = [f"{letter}: {plain(run.method)}"]
        for metric in COMPARED:
            own = against.get(letter)
            cells += [number(getattr(run.document.mean, metric)), "" if own is None else _interval(own.mean[metric])]
        rows.append([*cells, *(number(getattr(run.document.mean, metric)) for metric in others)])
    return table(["method", *heads, *(_HEAD_OF[metric] for metric in others)], rows)


def _interval(d: Difference) -> str:
    if d.difference is None or d.low is None or d.high is None:
        return "n/a"
    return f"{d.difference:+.4f} ({d.low:+.4f} to {d.high:+.4f})"


def rejected_lines(found: RejectedImages) -> list[str]:
    """How many images got no verdict, and why, a line each for normal and anomalous ones."""
    return [
        f"{name} images rejected: {', '.join(f'{plain(reason)} {count}' for reason, count in sorted(counts.items()))}."
        for name, counts in (("Normal", found.normal), ("Anomalous", found.anomalous))
        if counts
    ]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table, first column left, the others right."""
    rule = ["---", *("---:" for _ in head[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]


def number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4f}"


def plain(text: str) -> str:
    """On one line, with what would end a table's cell or start markup taken apart."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _method(name: str | None) -> str:
    """Named where it is not FB-CLIP."""
    return "" if name in {None, "fb-clip"} else f"method {plain(name or '')}, "


def _numbers(name: str, numbers: Numbers) -> list[str]:
    return [plain(name), *(number(getattr(numbers, metric)) for metric in METRICS)]


def _verdicts(found: Confusion) -> list[str]:
    rows = [("normal units", found.units.normal), ("anomalous units", found.units.anomalous)]
    return [
        *table(["", *(v.value for v in VERDICTS)], [_counts(name, counts) for name, counts in rows]),
        "",
        f"False alarms: {_rate(found.false_alarm_rate)}. Found: {_rate(found.recall)}.",
    ]


def _counts(name: str, counts: VerdictCounts) -> list[str]:
    return [name, *(str(counts.of(verdict)) for verdict in VERDICTS)]


def _difference(d: Difference) -> list[str]:
    if d.difference is None or d.low is None or d.high is None:
        return ["n/a", "n/a", d.sentence]
    return [f"{d.difference:+.4f}", f"{d.low:+.4f} to {d.high:+.4f}", d.sentence]


def _rate(rate: Rate) -> str:
    if rate.rate is None or rate.low is None or rate.high is None:
        return "n/a"
    return f"{rate.count} of {rate.total} units, {rate.rate:.1%} (95% interval {rate.low:.1%} to {rate.high:.1%})"
