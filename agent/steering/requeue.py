"""The command `requeue`, for a running agent and for none."""

from __future__ import annotations

from collections.abc import Sequence

from agent.config.line import LineSection
from agent.pipeline.requeue import FailedRequeue, Requeued, requeue_file
from agent.sources.path_text import to_path
from agent.steering.commands import RequeueCommand
from agent.store.ledger import Ledger


def requeue(command: RequeueCommand, sections: Sequence[LineSection], ledger: Ledger) -> Requeued:
    """To the end. Raises RequeueError or StoreError, and OSError where the one file cannot be moved."""
    if command.file is None:
        every = FailedRequeue(sections, ledger, command.line)
        every.go_on()
        return every.so_far
    return requeue_file(sections, ledger, to_path(command.file), command.line)
