"""One judged image as scalars: what is left of it when its map is gone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EvaluatedImage:
    """path: relative to the data root, with slashes; label: True anomalous.

    margin: logit difference in float32, None for an image that could not be judged; score: its probability in 0..1;
    z and verdict: None without a profile, and z also where the verdict is `rejected`; peak: the map's largest margin.
    """

    path: str
    class_name: str
    label: bool
    kind: str | None
    unit: str
    sha256: str
    margin: float | None = None
    score: float | None = None
    z: float | None = None
    verdict: str | None = None
    peak: float | None = None

    @property
    def rank(self) -> float | None:
        """What images are ordered by: z where a profile gives one, else the margin."""
        return self.margin if self.verdict is None else self.z
