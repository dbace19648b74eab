"""`agent requeue`: files go back into their hot folder, through the agent that runs, or without one."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from agent.commands.options import RequeueRequest, section_of
from agent.commands.talk import print_answer, tell
from agent.config.loader import load_config
from agent.config.sections import Config
from agent.errors import AgentError
from agent.sources.path_text import to_text
from agent.steering.commands import RequeueCommand
from agent.steering.requeue import requeue
from agent.store.access import file_of, open_writer
from agent.store.audit import AuditEntry, AuditLog
from agent.store.ledger import Ledger
from agent.store.lock import DataLock, is_locked
from fbclip.errors import ConfigError


def requeue_command(request: RequeueRequest) -> int:
    """Print what was done; returns 1 for a refusal. Raises ConfigError, or AgentError where it cannot be asked for."""
    config = load_config(request.config)
    command = _command(config, request)
    if is_locked(config.agent.data_dir):
        ok, answer = tell(config, "requeue", command.model_dump_json(exclude_none=True).encode())
        text = answer["text"]
    else:
        ok, text = _directly(config, command)
    return print_answer(ok, {"ok": ok, "text": text}, request.as_json)


def _command(config: Config, request: RequeueRequest) -> RequeueCommand:
    if (request.file is None) == (not request.everything):
        raise ConfigError("requeue: needs either a file or --all")
    if request.line is not None:
        section_of(config, request.line, request.config)
    # A link stays what it is: only what it leads to could be judged.
    file = None if request.file is None else to_text(Path(os.path.abspath(request.file)))  # noqa: PTH100
    return RequeueCommand(file=file, all=request.everything, line=request.line, by=getpass.getuser())


def _directly(config: Config, command: RequeueCommand) -> tuple[bool, str]:
    """No agent runs, and none may start meanwhile."""
    with DataLock(config.agent.data_dir, file_of(config.store_url)):
        database = open_writer(config.store_url, config.agent.name)
        try:
            try:
                ok, text = True, requeue(command, config.lines, Ledger(database)).text
            except (AgentError, OSError) as error:
                ok, text = False, getattr(error, "strerror", None) or str(error)
            asked = command.model_dump(mode="json", exclude={"correlation_id", "by", "file"})
            entry = AuditEntry("direct", "requeue", ok, text[:1000], command.by, command.line, {"asked": asked})
            AuditLog(database).note(entry)
        finally:
            database.close()
    return ok, text
