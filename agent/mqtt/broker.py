"""The broker of the first run: amqtt in a thread with its own event loop. It speaks MQTT 3.1.1, without accounts."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any
from weakref import WeakSet

from amqtt.broker import Broker

from agent.errors import MqttError

log = logging.getLogger(__name__)
START_S = 10.0
STOP_S = 3.0


class _Broker(Broker):  # type: ignore[misc]  # amqtt is not seen by the type checker
    """amqtt's broker, which knows its connections: its own shutdown can wait for ever on a busy one."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self._streams: WeakSet[asyncio.StreamWriter] = WeakSet()

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        self._streams.add(writer)
        await super().stream_connected(reader, writer, listener_name)

    async def end(self) -> None:
        """Shut down in at most STOP_S seconds; what is still connected then is cut off."""
        for server in self._servers.values():
            server.instance.close()
        try:
            await asyncio.wait_for(self.shutdown(), STOP_S)
        except TimeoutError:
            log.debug("the embedded broker did not shut down by itself")
        for writer in list(self._streams):
            writer.transport.abort()


class EmbeddedBroker:
    """Listens on one address from `start` to `stop`. Anyone who reaches it may publish: keep it on loopback."""

    def __init__(self, host: str = "127.0.0.1", port: int = 1883) -> None:
        self._where = f"{host}:{port}"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._broker: _Broker | None = None

    def start(self) -> None:
        """Returns when connections are accepted; raises MqttError if the address cannot be used."""
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._loop = asyncio.new_event_loop()
        # Sessions cut off by `stop` are no news to the user.
        self._loop.set_exception_handler(lambda _loop, context: log.debug("broker: %s", context.get("message")))
        self._thread = threading.Thread(target=self._loop.run_forever, name="mqtt-broker", daemon=True)
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(START_S)
        except Exception as error:
            self._end_loop()
            cause = error.__cause__ or error.__context__ or error
            raise MqttError(f"{self._where}: the embedded broker cannot listen: {cause}") from error

    def stop(self) -> None:
        """Close every connection and the port; safe to call twice."""
        if self._loop is None or self._broker is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(self._broker.end(), self._loop).result(START_S)
        finally:
            self._broker = None
            self._end_loop()

    async def _open(self) -> None:
        # Inside the loop: the broker binds itself to the one that runs.
        broker = _Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": self._where}},
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        await broker.start()
        self._broker = broker

    def _end_loop(self) -> None:
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_cancel_others(), loop).result(START_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(START_S)
        loop.close()
        self._loop = self._thread = None


async def _cancel_others() -> None:
    """What the broker left running would be reported as destroyed while pending."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=STOP_S)
