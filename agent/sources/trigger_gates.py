"""The gates of all triggered lines, from any thread. A line keeps its gate for the whole run, also when it is switched
off or taken away, so that no trigger is left without an answer."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection

from agent.config.line import LineSection
from agent.sources.sinks import Tally
from agent.sources.trigger_gate import TriggerGate


class TriggerGates:
    """`notify`: a gate has let an image through. `knock`, which may be set later: there may be something to answer."""

    def __init__(self, notify: Callable[[], None] = lambda: None) -> None:
        self._notify = notify
        self._gates: dict[str, TriggerGate] = {}
        self.knock: Callable[[], None] = lambda: None

    def of(self, section: LineSection, tally: Tally, numbers: itertools.count[int]) -> TriggerGate:
        """The line's one gate, made where there is none yet; one thread calls this."""
        gate = self._gates.get(section.name)
        if gate is None:
            gate = TriggerGate(section, tally, numbers, self._notify, self._ring)
            self._gates = {**self._gates, section.name: gate}
        return gate

    def get(self, line: str) -> TriggerGate | None:
        return self._gates.get(line)

    def all(self) -> dict[str, TriggerGate]:
        """By the name of their line; the mapping never changes."""
        return self._gates

    def shut(self, reason: str, but: Collection[str] = ()) -> None:
        """No more triggers, but for the lines of `but`."""
        for name, gate in self._gates.items():
            if name not in but:
                gate.shut(reason)

    def _ring(self) -> None:
        self.knock()
