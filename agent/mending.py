"""Parts that died or hang are replaced where that is safe; else it says why the run must end, to be started anew."""

from __future__ import annotations

import logging

from agent.heartbeat import RestartBudget
from agent.lineup import Lineup
from agent.mqtt.sender import Sender
from agent.pipeline.workers import Pipeline
from agent.steering.steward import Steward
from agent.web.server import WebServer

log = logging.getLogger(__name__)


class Mending:
    """One thread asks it about once a second."""

    def __init__(self, lineup: Lineup, pipeline: Pipeline, sender: Sender, web: WebServer, steward: Steward) -> None:
        self._lineup = lineup
        self._pipeline = pipeline
        self._sender = sender
        self._web = web
        self._steward = steward
        self._sender_budget = RestartBudget()
        self._web_budget = RestartBudget()
        self._steward_budget = RestartBudget()

    def look(self, now: float) -> str | None:
        """Mend at `now` (monotonic s); returns why the run must end, None while it may go on."""
        for supervisor in self._lineup.supervisors:
            supervisor.look()
        self._mend_page(now)
        self._mend_steward(now)
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

    def _mend_steward(self, now: float) -> None:
        # One that hangs may be changing a line, which a second thread must not do beside it. Lines run on without
        # commands, so no line stops for it: its missing sign of life is named in the agent's health.
        if not self._steward.alive and self._steward_budget.spend(now):
            log.error("the steward thread ended; another is started")
            self._steward.start()
