"""Parts that died or hang are replaced where that is safe; else it says why the run must end, to be started anew."""

from __future__ import annotations

import logging

from agent.heartbeat import RestartBudget
from agent.lineup import Lineup
from agent.mqtt.sender import Sender
from agent.pipeline.workers import Pipeline
from agent.web.server import WebServer

log = logging.getLogger(__name__)


class Mending:
    """One thread asks it about once a second."""

    def __init__(self, lineup: Lineup, pipeline: Pipeline, sender: Sender, web: WebServer) -> None:
        self._lineup = lineup
        self._pipeline = pipeline
        self._sender = sender
        self._web = web
        self._sender_budget = RestartBudget()
        self._web_budget = RestartBudget()

    def look(self, now: float) -> str | None:
        """Mend at `now` (monotonic s); returns why the run must end, None while it may go on."""
        for supervisor in self._lineup.supervisors:
            supervisor.look()
        self._mend_page(now)
        return self._pipeline_failure() or self._sender_failure(now) or self._sources_failure()

    def _pipeline_failure(self) -> str | None:
        failure = self._pipeline.failure
        return failure if failure is not None or self._pipeline.alive else "a worker of the pipeline ended"

    def _sender_failure(self, now: float) -> str | None:
        if self._sender.alive:
            # It may hang inside the client, which a second thread must not use beside it.
            return self._sender.heartbeat.problem() if self._sender.heartbeat.dead else None
        if not self._sender_budget.spend(now):
            return "the sender thread ends again and again"
        log.error("the sender thread ended; another is started")
        self._sender.revive()
        return None

    def _sources_failure(self) -> str | None:
        """A line that cannot be mended is named while others run; where none does, a new process may help."""
        supervisors = self._lineup.supervisors
        if supervisors and all(supervisor.given_up for supervisor in supervisors):
            return supervisors[0].problem
        return None

    def _mend_page(self, now: float) -> None:
        # A page that cannot be mended is named in the agent's health; no line stops for it.
        if (not self._web.alive or self._web.heartbeat.dead) and self._web_budget.spend(now):
            log.error("the page hangs or has ended; another thread answers")
            self._web.revive()
