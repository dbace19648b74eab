"""The real `agent run` on a tiny model, forked from a process that has imported everything: it starts in half a second.

The model is random, with 32 x 32 pixels; all else is the product's own. Each run has its own process.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import torch

import agent.app
import agent.commands.run
import agent.store.opening
from agent.cli import main
from tests.factories.models import tiny_detector
from tests.faults.injections import Fault, inject

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


def spawn(config: Path, log: Path, fault: Fault | None = None) -> ForkServerProcess:
    """A run with this configuration; what it prints goes to the end of `log`."""
    process = _CONTEXT.Process(target=_run, args=(config, log, fault or Fault()), daemon=True)
    process.start()
    return process


def _run(config: Path, log: Path, fault: Fault) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    torch.set_num_threads(1)
    if not fault.embedded:
        agent.app.load_model = lambda *_: tiny_detector()  # type: ignore[attr-defined]
    inject(fault)
    sys.argv = ["agent", "run", "-c", str(config)]
    main()
