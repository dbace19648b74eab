"""Which messages an inspection causes: events and results of live lines, nothing of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from agent.mqtt.payloads import Topics, end_body, event_body, result_body
from agent.records import EventStep, Inspection, LineMode
from agent.store.outbox import Draft


class Messages:
    """Makes drafts for the outbox; `modes` are those of the configured lines."""

    def __init__(self, topics: Topics, modes: Mapping[str, LineMode]) -> None:
        self._topics = topics
        self._modes = modes

    def of(self, inspection: Inspection, steps: Sequence[EventStep]) -> list[Draft]:
        """Events in the order they happened, then the answer to a discrete frame."""
        if inspection.mode is not LineMode.LIVE:
            return []
        line, agent = inspection.line, self._topics.agent
        drafts = [
            Draft(line, self._topics.event(line), partial(event_body, agent=agent, step=step, inspection=inspection))
            for step in steps
        ]
        if inspection.discrete:
            build = partial(result_body, agent=agent, inspection=inspection)
            drafts.append(Draft(line, self._topics.result(line), build))
        return drafts

    def of_end(self, step: EventStep) -> Draft | None:
        """An end that no inspection caused. A line that is no longer configured is told too: it was live once."""
        if self._modes.get(step.line, LineMode.LIVE) is not LineMode.LIVE:
            return None
        return Draft(step.line, self._topics.event(step.line), partial(end_body, agent=self._topics.agent, step=step))
