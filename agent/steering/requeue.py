"""The command `requeue`, for a running agent and for none."""

from __future__ import annotations

from collections.abc import Sequence

from agent.config.line import LineSection
from agent.pipeline.requeue import Requeued, requeue_failed, requeue_file
from agent.sources.path_text import to_path
from agent.steering.commands import RequeueCommand
from agent.store.ledger import Ledger


def requeue(command: RequeueCommand, sections: Sequence[LineSection], ledger: Ledger) -> Requeued:
    """Raises RequeueError or StoreError, and OSError where the one file cannot be moved."""
    if command.file is None:
        return requeue_failed(sections, ledger, command.line)
    return requeue_file(sections, ledger, to_path(command.file), command.line)
