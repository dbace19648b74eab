"""Units by verdict, as the run counted them, and their shares with exact intervals. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from calibrate.statistics.binomial import rate_between

CONFIDENCE = 0.95
VERDICTS = ("anomaly", "uncertain", "ok", "rejected")


@dataclass(frozen=True)
class Share:
    """`count` of `total`; rate and interval (Clopper and Pearson, 95 %) are None for 0 of 0."""

    count: int
    total: int

    @property
    def rate(self) -> float | None:
        return self.count / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float] | None:
        return rate_between(self.count, self.total, CONFIDENCE) if self.total else None


@dataclass(frozen=True)
class VerdictCounts:
    """Units of one group by verdict."""

    name: str
    verdicts: Mapping[str, int]
    class_name: str = ""

    @property
    def total(self) -> int:
        return sum(self.verdicts.get(verdict, 0) for verdict in VERDICTS)

    def share(self, *verdicts: str) -> Share:
        return Share(sum(self.verdicts.get(verdict, 0) for verdict in verdicts), self.total)


def by_kind(kinds: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[VerdictCounts]:
    """Class -> kind of defect -> verdicts, as one list: the least often found first."""
    tallies = [
        VerdictCounts(kind, verdicts, name) for name, of_class in kinds.items() for kind, verdicts in of_class.items()
    ]
    return sorted(tallies, key=lambda t: (t.share("anomaly").rate or 0.0, t.class_name, t.name))
