"""Commands from the broker: from a topic to the steward, and its answer into the outbox. A thin adapter."""

from __future__ import annotations

import logging
from collections.abc import Callable

from agent.errors import StoreError
from agent.mqtt.payloads import Topics
from agent.steering.commands import MAX_PAYLOAD_BYTES, CommandAnswer
from agent.steering.steward import Request, Steward
from agent.steering.trigger_door import VERB, TriggerDoor
from agent.store.outbox import Draft
from agent.store.writer import Writer

log = logging.getLogger(__name__)
# A reserved word, so no line has it: answers are numbered by themselves.
ANSWERS = "answer"


class MqttEars:
    """`hear` is called on the client's network thread: it only hands on."""

    def __init__(
        self,
        topics: Topics,
        steward: Steward,
        writer: Writer,
        wake: Callable[[], None],
        door: TriggerDoor | None = None,
        say: Callable[[Draft], None] = lambda _: None,
    ) -> None:
        """`door`: where triggers go, not to the steward; `say` takes what they are answered, at once."""
        self._topics = topics
        self._steward = steward
        self._writer = writer
        self._wake = wake
        self._door = door
        self._say = say

    def hear(self, topic: str, payload: bytes, retained: bool) -> None:
        """One message below `cmd/`."""
        verb = topic.rpartition("/")[2]
        if retained:
            # It would be followed again at each connection, for ever.
            log.warning("a retained message on %s is not followed", topic[:200])
            return
        # One byte more than allowed is enough to be refused as too large.
        payload = payload[: MAX_PAYLOAD_BYTES + 1]
        if verb == VERB and self._door is not None:
            self._say(self._draft(self._door.take(payload)))
        elif not self._steward.submit(Request(verb, payload, "mqtt", self._answer)):
            log.warning("too many commands wait; %s is not followed", verb[:64])

    def _answer(self, answer: CommandAnswer) -> None:
        try:
            self._writer.post([self._draft(answer)])
        except StoreError as error:
            log.error("the answer to %s cannot be sent: %s", answer.verb[:64], error)
        self._wake()

    def _draft(self, answer: CommandAnswer) -> Draft:
        return Draft(ANSWERS, self._topics.answer, answer.body(self._topics.agent))
