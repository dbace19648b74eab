"""The command `trigger`: from bytes to the gate of a line, at once and on whichever thread it came.

Triggers are production, not changes: they wait behind no other command and are not entered in the audit. Their record
is the inspection.
"""

from __future__ import annotations

from agent.config.source import TriggeredSection
from agent.lineup import Lineup
from agent.records import LineMode
from agent.sources.refusal import BUSY, LOST
from agent.steering.commands import CommandAnswer, CommandError, TriggerCommand, correlation_of, parse

VERB = "trigger"
_TEXTS = {
    BUSY: "busy: as many triggers wait for their answer as may",
    LOST: "lost: triggers come faster than they can be refused, no result will tell",
    "line_off": "the line is switched off",
    "line_unavailable": "the line is unavailable",
    "shutdown": "the agent is stopping",
}


class TriggerDoor:
    """Any thread may use it."""

    def __init__(self, lineup: Lineup) -> None:
        self._lineup = lineup

    def take(self, payload: bytes) -> CommandAnswer:
        """Hand one trigger to its line; never waits. Where the line hears triggers, a result follows in any case."""
        try:
            command = parse(VERB, payload)
            assert isinstance(command, TriggerCommand)
            mode = self._mode(command.line)
        except CommandError as error:
            return CommandAnswer(VERB, False, " ".join(str(error).split()), correlation_of(payload))
        gate = self._lineup.gates.all()[command.line]
        reason = gate.ask(command.context, command.frames)
        text = "accepted" if reason is None else _TEXTS.get(reason, reason)
        if mode is not LineMode.LIVE:
            text += f"; in mode {mode} no result is published"
        answer = f"line {command.line}: {text}"
        return CommandAnswer(VERB, reason is None, answer, command.correlation_id, command.context)

    def _mode(self, line: str) -> LineMode:
        """Of a line that hears triggers; raises CommandError for others."""
        plan = self._lineup.plans.get(line)
        if plan is None:
            raise CommandError(f"line {line}: there is no such line")
        source = plan.section.source
        if not isinstance(source, TriggeredSection) or source.trigger != "mqtt":
            raise CommandError(f"line {line}: hears no triggers; that takes trigger: mqtt in its source")
        return plan.section.mode
