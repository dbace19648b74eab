"""`agent fleet serve`: every agent of a broker on one page, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import logging
import signal
import threading

import typer
from pydantic import ValidationError

from agent.commands.options import FleetServeRequest
from agent.config.base import ListenSection
from agent.config.loader import load_config
from agent.config.sections import Config
from agent.errors import AgentError
from agent.fleet.listening import retained_topics
from agent.fleet.page import create_fleet_app
from agent.fleet.view import fleet_of
from agent.fleet.watching import FleetWatch
from agent.web.access import page_access
from agent.web.server import WebServer
from fbclip.errors import ConfigError

# A broker that says something all the time is listened to for no longer.
MOST_LISTEN_S = 10.0


def fleet_serve_command(request: FleetServeRequest) -> None:
    """Raises ConfigError, and AgentError where the address cannot be had. A broker that is away is told on the page."""
    logging.basicConfig(level=logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    serve_fleet(load_config(request.config), request, stop)


def serve_fleet(config: Config, request: FleetServeRequest, stop: threading.Event) -> None:
    """Until `stop`; raises as `fleet_serve_command`."""
    listen = _listen(request.listen)
    access = page_access(config.web)
    if not listen.loopback and access.is_open:
        raise ConfigError("--listen: is not loopback: set web.token_env in agent.yaml")
    prefix = config.mqtt.prefix
    watch = FleetWatch(lambda: fleet_of(retained_topics(config.mqtt, MOST_LISTEN_S), prefix), request.every)
    server = WebServer(create_fleet_app(watch, listen.loopback, access), listen.host, listen.port)
    server.start()
    looking = threading.Thread(target=watch.run, args=(stop,), name="fleet", daemon=True)
    try:
        typer.echo(f"the fleet of {config.mqtt.host} is shown at http://{listen.host}:{server.port}/; stop with Ctrl-C")
        looking.start()
        while not stop.wait(1.0):
            if not (server.alive and looking.is_alive()):
                raise AgentError("the page of the fleet ended by itself; start it again")
    finally:
        stop.set()
        server.stop()


def _listen(text: str) -> ListenSection:
    try:
        return ListenSection(listen=text)
    except ValidationError as error:
        raise ConfigError(f"--listen: must be HOST:PORT, not {text!r}") from error
