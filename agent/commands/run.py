"""`agent run`: the daemon in the foreground, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import NoReturn

import typer

from agent.app import run_agent
from agent.commands.options import RunRequest
from agent.config.loader import load_config
from agent.config.sections import Config
from agent.config.source import DicomSource, FolderSource
from agent.privacy.log_format import start_log

# Parts that hang are given up one by one before; this is for what nobody foresaw.
LAST_RESORT_S = 9.5


def run_command(request: RunRequest) -> int:
    """Returns the exit code; raises ConfigError, AgentError or FbclipError when the agent cannot start."""
    config = load_config(request.config)
    # Names of files may name persons: what the agent writes is for its own account.
    os.umask(0o077)
    start_log(request.log_format)
    stop, ready, hangup = threading.Event(), threading.Event(), threading.Event()

    def end(*_: object) -> None:
        end_for_sure()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        # Handlers only set a flag: the work of stopping is done by the thread that watches it.
        signal.signal(number, end)
    signal.signal(signal.SIGHUP, lambda *_: hangup.set())
    threading.Thread(target=_welcome, args=(config, ready, stop), daemon=True).start()
    return run_agent(request.config, config, stop, hangup, ready, end_for_sure)


def end_for_sure() -> None:
    """The process ends in `LAST_RESORT_S` seconds, with code 1 and every thread's stack in the log, if it has not by
    then. The C library's thread that does it needs no other thread of ours to make progress."""
    faulthandler.dump_traceback_later(LAST_RESORT_S, exit=True)


def leave(code: int) -> NoReturn:
    """End the process here and now: what is left behind (a detector in the middle of a batch) runs in libraries that
    abort where the interpreter is taken down under them, and the code would be lost."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def welcome_lines(config: Config) -> Iterator[str]:
    """What to do next, for the terminal."""
    yield f"\n{config.agent.name} is judging {', '.join(line.name for line in config.lines)}."
    yield f"  page     http://{config.web.listen}/"
    topic = f"{config.mqtt.prefix}/{config.agent.name}/#"
    version = " -V mqttv311" if config.mqtt.embedded else ""
    yield f"  messages mosquitto_sub{version} -h {config.mqtt.host} -p {config.mqtt.port} -t '{topic}' -v"
    for line in config.lines:
        if isinstance(line.source, DicomSource):
            source = line.source
            yield f"  DICOM    send to {source.ae_title} at {source.listen}:{source.port} and see line {line.name}"
        elif isinstance(line.source, FolderSource):
            folder = "its folder" if line.is_private else str(line.source.path)
            yield f"  files    drop an image into {folder} and see line {line.name}"
    yield "  events   agent events"
    yield "  stop     Ctrl-C\n"


def _welcome(config: Config, ready: threading.Event, stop: threading.Event) -> None:
    while not ready.wait(0.2):
        if stop.is_set():
            return
    for line in welcome_lines(config):
        typer.echo(line)
