"""The state of the agent as Prometheus reads it. Names, units and labels are a contract: see deploy/grafana."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.health import HealthSnapshot, problems_of, ready
from agent.line_states import LineHealth, LineState
from agent.metrics.inspection_counts import BUCKETS_S, InspectionCounts, LineFigures, bounded_reason

Numbers = Iterator[Metric]


@dataclass(frozen=True)
class Identity:
    """What is scraped."""

    agent: str
    version: str
    backbone: str


class AgentCollector(Collector):
    """Reads what there is at each scrape; keeps nothing."""

    def __init__(self, identity: Identity, snapshot: Callable[[], HealthSnapshot], counts: InspectionCounts) -> None:
        self._identity = identity
        self._snapshot = snapshot
        self._counts = counts

    def collect(self) -> Numbers:
        snapshot = self._snapshot()
        names = {line.name for line in snapshot.lines}
        figures = {name: one for name, one in self._counts.figures().items() if name in names}
        info = GaugeMetricFamily("fbclip_info", "What runs; always 1.", labels=list(asdict(self._identity)))
        info.add_metric(list(asdict(self._identity).values()), 1)
        yield info
        yield from _agent(snapshot)
        yield from _lines(snapshot.lines)
        yield from _drift(snapshot.lines)
        yield from _inspections(figures)


def metrics_text(
    identity: Identity, snapshot: Callable[[], HealthSnapshot], counts: InspectionCounts
) -> Callable[[], bytes]:
    """What answers a scrape, in Prometheus's text format; with memory and processor time of this process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(AgentCollector(identity, snapshot, counts))
    ProcessCollector(registry=registry)
    return lambda: generate_latest(registry)


def _agent(snapshot: HealthSnapshot) -> Numbers:
    problems = problems_of(snapshot)
    yield _one("fbclip_healthy", "1 while nothing is wrong.", not problems)
    yield _one("fbclip_ready", "1 while frames are judged and recorded on one line at least.", ready(snapshot))
    yield _one("fbclip_problems", "How many things are wrong.", len(problems))
    yield _one("fbclip_broker_up", "1 while the broker takes messages.", snapshot.broker_problem is None)
    yield _one("fbclip_store_up", "1 while the database takes inspections.", snapshot.store_problem is None)
    yield _one("fbclip_outbox_messages", "Messages that wait for the broker.", snapshot.backlog.messages)
    yield _one("fbclip_outbox_oldest_seconds", "For how long the oldest of them has.", snapshot.backlog.oldest_s)
    yield _one(
        "fbclip_unacknowledged_seconds",
        "For how long a message that was handed over has not been acknowledged.",
        snapshot.oldest_unacknowledged_s,
    )


def _lines(lines: tuple[LineHealth, ...]) -> Numbers:
    state = GaugeMetricFamily("fbclip_line_state", "1 for the state that the line is in.", labels=["line", "state"])
    mode = GaugeMetricFamily("fbclip_line_mode", "1 for the line's mode.", labels=["line", "mode"])
    grabbed = CounterMetricFamily("fbclip_frames_grabbed", "Frames since the start.", labels=["line"])
    dropped = CounterMetricFamily("fbclip_frames_dropped", "Frames that were not judged.", labels=["line", "reason"])
    flying = GaugeMetricFamily("fbclip_frames_in_flight", "Frames on their way.", labels=["line"])
    triggers = CounterMetricFamily("fbclip_triggers", "Triggers by what became of them.", labels=["line", "outcome"])
    for line in lines:
        for one in LineState:
            state.add_metric([line.name, one.value], line.state is one)
        mode.add_metric([line.name, line.mode.value], 1)
        grabbed.add_metric([line.name], line.counters.grabbed)
        flying.add_metric([line.name], line.counters.in_flight)
        sums: dict[str, int] = {}
        for reason, count in line.counters.dropped.items():
            sums[bounded_reason(reason)] = sums.get(bounded_reason(reason), 0) + count
        for reason, count in sums.items():
            dropped.add_metric([line.name, reason], count)
        for outcome, count in ({} if line.triggers is None else asdict(line.triggers)).items():
            triggers.add_metric([line.name, outcome], count)
    yield from (state, mode, grabbed, dropped, flying, triggers)


def _drift(lines: tuple[LineHealth, ...]) -> Numbers:
    advice = GaugeMetricFamily("fbclip_drift_recalibrate", "1 while a line should be recalibrated.", labels=["line"])
    watched = GaugeMetricFamily("fbclip_drift_watched", "1 while the line is watched for drift.", labels=["line"])
    units = GaugeMetricFamily("fbclip_drift_units", "Units seen under this profile.", labels=["line"])
    rate = GaugeMetricFamily(
        "fbclip_drift_rate_ratio", "Share of units beyond a limit since it was exceeded.", labels=["line", "statistic"]
    )
    expected = GaugeMetricFamily(
        "fbclip_drift_expected_ratio", "The most that this share should be.", labels=["line", "statistic"]
    )
    for line in lines:
        advice.add_metric([line.name], line.drift.recalibrate)
        watched.add_metric([line.name], line.drift.not_watched is None)
        units.add_metric([line.name], line.drift.units)
        for finding in line.drift.findings:
            rate.add_metric([line.name, finding.statistic], finding.rate)
            expected.add_metric([line.name, finding.statistic], finding.expected)
    yield from (advice, watched, units, rate, expected)


def _inspections(figures: dict[str, LineFigures]) -> Numbers:
    verdicts = CounterMetricFamily("fbclip_inspections", "Inspections stored.", labels=["line", "verdict", "reason"])
    seconds = HistogramMetricFamily("fbclip_inspection_seconds", "From the grab to the verdict.", labels=["line"])
    z = GaugeMetricFamily("fbclip_last_z", "Statistic of the last image; absent where it has none.", labels=["line"])
    threshold = GaugeMetricFamily("fbclip_threshold_z", "Above it the last image was an anomaly.", labels=["line"])
    for name, one in figures.items():
        for (verdict, reason), count in one.verdicts.items():
            verdicts.add_metric([name, verdict, reason], count)
        ends = [*map(str, BUCKETS_S), "+Inf"]
        buckets = list(zip(ends, itertools.accumulate(one.slower), strict=True))
        seconds.add_metric([name], [(end, float(count)) for end, count in buckets], one.seconds)
        if one.z is not None:
            z.add_metric([name], one.z)
        if one.threshold is not None:
            threshold.add_metric([name], one.threshold)
    yield from (verdicts, seconds, z, threshold)


def _one(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=float(value))
