"""What an inspection tells the broker, of live lines only: events, results and the last verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from agent.mqtt.payloads import Topics, end_body, event_body, evicted_body, result_body, state_body
from agent.mqtt.sender import Sender
from agent.pipeline.judged import Judged
from agent.records import EventStep, Inspection, LineMode
from agent.store.eviction import Ranges
from agent.store.outbox import Draft


class Messages:
    """Makes drafts for the outbox; `modes` are those of the configured lines."""

    def __init__(self, topics: Topics, modes: Mapping[str, LineMode]) -> None:
        self._topics = topics
        self._modes = modes

    def of(self, inspection: Inspection, steps: Sequence[EventStep], result: bool | None = None) -> list[Draft]:
        """Events in the order they happened, then the result: of a discrete frame, unless `result` says otherwise."""
        if inspection.mode is not LineMode.LIVE:
            return []
        line, agent = inspection.line, self._topics.agent
        drafts = [Draft(line, self._topics.event(line), event_body(agent, step, inspection)) for step in steps]
        if inspection.discrete if result is None else result:
            drafts.append(Draft(line, self._topics.result(line), result_body(agent, inspection)))
        return drafts

    def of_end(self, step: EventStep) -> Draft | None:
        """An end that no inspection caused. A line that is no longer configured ends aloud too: it was live once."""
        if self._modes.get(step.line, LineMode.LIVE) is not LineMode.LIVE:
            return None
        return Draft(step.line, self._topics.event(step.line), end_body(self._topics.agent, step))


def evicted_draft(topics: Topics) -> Callable[[str, int, Ranges], Draft]:
    """Drafts of the notice that messages of a line were given up."""
    return lambda line, count, ranges: Draft(
        line, topics.evicted(line), evicted_body(topics.agent, line, count, ranges)
    )


class StatePublisher:
    """Observes inspections: keeps the retained state of each live line at its last verdict, and wakes the sender."""

    def __init__(self, topics: Topics, sender: Sender) -> None:
        self._topics = topics
        self._sender = sender

    def inspected(self, judged: Judged) -> None:
        inspection = judged.inspection
        if inspection.mode is LineMode.LIVE:
            body = state_body(self._topics.agent, inspection)
            self._sender.retain(self._topics.line_state(inspection.line), body)
        self._sender.wake()
