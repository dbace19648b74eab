"""Which parts of triggered lines are half judged, and which must be answered without a verdict. Of the recorder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from agent.pipeline.judged import Judged, unjudged
from agent.pipeline.lines import Line
from agent.pipeline.part_verdict import PartSoFar, with_image
from agent.records import TriggeredPart
from agent.sources.trigger_gate import TriggerGate
from agent.sources.trigger_gates import TriggerGates


class PartDesk:
    """One thread uses it."""

    def __init__(
        self,
        run: str,
        lines: Mapping[str, Line],
        gates: TriggerGates,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._lines = lines
        self._gates = gates
        self._monotonic = monotonic
        self._so_far: dict[int, PartSoFar] = {}

    def line(self, name: str) -> Line:
        """Of a gate: as it is judged, or as the configuration has it where it could not be loaded."""
        return self._lines.get(name) or Line(self._gate(name).section, "")

    def take_due(self) -> list[tuple[TriggeredPart, Judged]]:
        """The parts that get no verdict any more, each with what stands for the image that never came."""
        found = []
        for name, gate in self._gates.all().items():
            for refusal in gate.due():
                line = self._lines.get(name)
                section = gate.section if line is None else line.section
                frame = gate.unseen(refusal)
                found.append((refusal.part, unjudged(self._run, frame, section, line, self._monotonic())))
        return found

    def give_up_all(self, reason: str) -> None:
        """Every part without an answer is due with this reason."""
        for gate in self._gates.all().values():
            gate.give_up_all(reason)

    def seconds_to_due(self, most: float) -> float:
        for gate in self._gates.all().values():
            most = gate.seconds_to_due(most)
        return most

    def is_open(self, part: TriggeredPart) -> bool:
        """Whether the part has no answer yet."""
        return self._gate(part.line).is_open(part)

    def with_image(self, part: TriggeredPart, judged: Judged, unseen: bool) -> PartSoFar:
        """The part with one image more, which counts once `keep` or `answered` is called."""
        return with_image(self._so_far.get(part.number), judged, unseen)

    def keep(self, part: TriggeredPart, so_far: PartSoFar) -> None:
        """More images of it will come."""
        self._so_far[part.number] = so_far

    def answered(self, part: TriggeredPart, refused: str | None) -> None:
        """Its result is stored; `refused`: why it was not judged."""
        self._so_far.pop(part.number, None)
        self._gate(part.line).answered(part, refused)

    def came_late(self, part: TriggeredPart) -> None:
        """An image whose part has its answer was judged."""
        self._gate(part.line).came_late()

    def _gate(self, line: str) -> TriggerGate:
        return self._gates.all()[line]
