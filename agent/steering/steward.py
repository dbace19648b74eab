"""The thread that follows commands, one after the other, and tries unavailable lines again.

Whoever asks hands in bytes and a way to answer; nobody else changes the lines of a running agent.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.config.loader import load_config
from agent.config.sections import Config
from agent.errors import StoreError
from agent.heartbeat import Heartbeat
from agent.lineup import Lineup
from agent.pipeline.requeue import FailedRequeue, requeue_file
from agent.sources.path_text import to_path
from agent.steering.commands import (
    AckCommand,
    Command,
    CommandAnswer,
    CommandError,
    FeedbackCommand,
    ReloadCommand,
    RequeueCommand,
    correlation_of,
    parse,
)
from agent.steering.decisions import Situation, decide
from agent.steering.overrides import Overrides, save_overrides
from agent.store.audit import AuditEntry, AuditLog, Said
from agent.store.ledger import Ledger
from fbclip.errors import ConfigError, InspectError

log = logging.getLogger(__name__)
POLL_S = 0.5
MOST_WAITING = 32
# What a command may take of its asker's time, and what follows of the time between two commands.
REQUEUE_S = 5.0
REQUEUE_MORE_S = 0.5
# Loading a large adapter or memory from a slow disk is progress, too.
SLOW_S = 60.0
DEAD_S = 600.0


@dataclass(frozen=True)
class Request:
    """A command as it came. `origin`: mqtt, ctl, page or signal; `reply` is called once, on the steward's thread."""

    verb: str
    payload: bytes
    origin: str
    reply: Callable[[CommandAnswer], None]


class Steward:
    """Owns what the configuration and the operators say now."""

    def __init__(
        self,
        path: Path,
        config: Config,
        overrides: Overrides,
        lineup: Lineup,
        audit: AuditLog,
        ledger: Ledger,
        hangup: threading.Event,
        monotonic: Callable[[], float] = time.monotonic,
        keep_picture: Callable[[int], object] = lambda _: None,
    ) -> None:
        """`path`: of agent.yaml. `hangup`: set by SIGHUP, which means reload.

        `keep_picture`: of an inspection that somebody has judged, as long as it is still there.
        """
        self._path = path
        self._config = config
        self._overrides = overrides
        self._lineup = lineup
        self._audit = audit
        self._ledger = ledger
        self._hangup = hangup
        self._monotonic = monotonic
        self._keep_picture = keep_picture
        self._requeuing: FailedRequeue | None = None
        self._requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = self._new_thread()
        self.heartbeat = Heartbeat("the steward", SLOW_S, DEAD_S, monotonic)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        """Also after the thread died of an error: the command it died of is lost, those that waited are followed."""
        self.heartbeat.beat()
        if self._thread.ident is not None:
            self._thread = self._new_thread()
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """No more commands; one that is being followed may need longer than `timeout` seconds."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def can_roll_back(self, line: str) -> bool:
        """Whether a line was judged by another profile or threshold before; from any thread."""
        section = next((section for section in self._config.lines if section.name == line), None)
        return section is not None and self._overrides.of(line).rolled_back(section.profile) is not None

    def submit(self, request: Request) -> bool:
        """From any thread, at once; false when too many wait already: then nothing is done and nobody answers."""
        if self._requests.qsize() >= MOST_WAITING:
            return False
        self._requests.put(request)
        return True

    def step(self, wait_s: float) -> None:
        """Follow one command, or wait for one; then look after the lines that are unavailable."""
        self.heartbeat.beat()
        if self._hangup.is_set():
            self._hangup.clear()
            self.submit(Request("reload", b"", "signal", lambda _: None))
        try:
            request = self._requests.get(timeout=0.001 if self._requeuing else wait_s)
        except queue.Empty:
            pass
        else:
            self._follow(request)
        self._requeue_more()
        self._lineup.retry(self._monotonic())

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._loop, name="steward", daemon=True)

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                self.step(POLL_S)
            except Exception:
                # A command must not take the others' ears away.
                log.exception("a command failed in a way that nobody foresaw")

    def _follow(self, request: Request) -> None:
        before = self._overrides
        command: Command | None = None
        line: str | None = None
        try:
            command = parse(request.verb, request.payload)
            line = getattr(command, "line", None)
            line, text = self._do(command, request.origin)
            answer = CommandAnswer(request.verb, True, text, command.correlation_id)
        except (InspectError, OSError) as error:
            text = " ".join(str(error).split())
            answer = CommandAnswer(request.verb, False, text, correlation_of(request.payload))
        except Exception as error:
            log.exception("%s: the command failed", request.verb[:64])
            answer = CommandAnswer(
                request.verb, False, f"failed: {type(error).__name__}", correlation_of(request.payload)
            )
        level = logging.INFO if answer.ok else logging.WARNING
        by = "unknown" if command is None or command.by is None else command.by
        log.log(level, "%s by %s (%s): %s", request.verb[:64], by, request.origin, answer.text)
        if command is not None:
            self._note(request, command, line, answer, before)
        request.reply(answer)

    def _do(self, command: Command, origin: str) -> tuple[str | None, str]:
        """The line it is about and what was done; raises InspectError or OSError, then nothing has changed."""
        if isinstance(command, ReloadCommand):
            return None, self._reload()
        if isinstance(command, AckCommand):
            line = self._audit.line_of_event(command.event_id)
            if line is None:
                raise CommandError("event_id: there is no such event")
            return line, f"line {line}: event {command.event_id} is acknowledged"
        if isinstance(command, FeedbackCommand):
            said = Said(command.label, command.note, command.by, origin)
            line = self._audit.add_feedback(command.inspection_id, said)
            if line is None:
                raise CommandError("inspection_id: there is no such inspection")
            self._keep_picture(command.inspection_id)
            return line, f"line {line}: inspection {command.inspection_id} was {command.label}"
        if isinstance(command, RequeueCommand):
            return command.line, self._requeue(command)
        overrides = decide(command, self._overrides, self._situation())
        changes = self._apply(self._config, overrides)
        return getattr(command, "line", None), "; ".join(changes) or "nothing to change"

    def _requeue(self, command: RequeueCommand) -> str:
        """What is not done soon is done between the commands to come."""
        if command.file is not None:
            return requeue_file(self._config.lines, self._ledger, to_path(command.file), command.line).text
        if self._requeuing is not None:
            return f"{self._requeuing.so_far.text}; a requeue of all is under way"
        every = FailedRequeue(self._config.lines, self._ledger, command.line)
        if every.go_on(REQUEUE_S):
            return every.so_far.text
        self._requeuing = every
        return f"{every.so_far.text}; the others follow in the background"

    def _requeue_more(self) -> None:
        if self._requeuing is None:
            return
        try:
            if not self._requeuing.go_on(REQUEUE_MORE_S):
                return
            text = self._requeuing.so_far.text
            log.info("requeue: done: %s", text)
        except (InspectError, OSError) as error:
            text = f"{self._requeuing.so_far.text}; then: {' '.join(str(error).split())}"
            log.error("requeue: %s; what is left stays in failed", text)
        self._requeuing = None

    def _reload(self) -> str:
        try:
            config = load_config(self._path)
            changes = self._apply(config, self._overrides)
        except InspectError as error:
            raise ConfigError(f"the old configuration is kept: {error}") from error
        was, now = self._config, config
        parts = [name for name in Config.model_fields if name != "lines" and getattr(was, name) != getattr(now, name)]
        self._config = was.model_copy(update={"lines": now.lines})
        if parts:
            changes.append(f"{', '.join(parts)}: takes effect at the next start")
        return "; ".join(changes) or "nothing to change"

    def _apply(self, config: Config, overrides: Overrides) -> list[str]:
        """Lines first: what cannot run is not kept for the next start either."""
        before = [*self._lineup.plans.values()]
        changes = self._lineup.apply(overrides.plans(config.lines), self._monotonic())
        if overrides != self._overrides:
            try:
                save_overrides(overrides, self._config.agent.data_dir)
            except OSError as error:
                self._lineup.apply(before, self._monotonic())
                raise CommandError(f"cannot be kept for the next start, so nothing was changed: {error}") from error
        self._overrides = overrides
        return changes

    def _situation(self) -> Situation:
        sections = {section.name: section for section in self._config.lines}
        profiles = {n: line.measured_id for n, line in self._lineup.lines.items() if line.measured_id is not None}
        return Situation(sections, profiles, self._path.absolute().parent)

    def _note(
        self, request: Request, command: Command, line: str | None, answer: CommandAnswer, before: Overrides
    ) -> None:
        detail = {"asked": command.model_dump(mode="json", exclude={"correlation_id", "by", "file"})}
        if line is not None and before.of(line) != self._overrides.of(line):
            detail |= {
                "before": before.of(line).model_dump(mode="json", exclude={"before"}),
                "after": self._overrides.of(line).model_dump(mode="json", exclude={"before"}),
            }
        entry = AuditEntry(request.origin, request.verb, answer.ok, answer.text[:1000], command.by, line, detail)
        try:
            self._audit.note(entry)
        except StoreError as error:
            log.error("%s (%s) could not be entered in the audit: %s", request.verb, request.origin, error)
