"""The broker of the first run: amqtt in a thread with its own event loop. It speaks MQTT 3.1.1, without accounts."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from amqtt.broker import Broker
from amqtt.errors import AMQTTError

from agent.errors import MqttError
from agent.ports import check_free, why_no_broker

log = logging.getLogger(__name__)
# A visitor on loopback must not take the descriptors that images and the database need.
MOST_CLIENTS = 100
MOST_SILENT = 50
GREETING_S = 10.0
# More than any message of the agent, or to it, has.
MOST_BYTES = 1 << 20
TOLD_EVERY_S = 60.0
START_S = 10.0
STOP_S = 3.0


class _BoundedReader:
    """A stream that gives at most MOST_BYTES at a time: a packet may announce 256 MB, which amqtt would wait for."""

    def __init__(self, reader: asyncio.StreamReader, too_much: Callable[[], None]) -> None:
        self._reader = reader
        self._too_much = too_much

    async def readexactly(self, count: int) -> bytes:
        if count > MOST_BYTES:
            self._too_much()
            raise ConnectionResetError(f"{count} bytes are too many")
        return await self._reader.readexactly(count)

    async def read(self, count: int = -1) -> bytes:
        return await self._reader.read(MOST_BYTES if count < 0 else count)

    def feed_eof(self) -> None:
        self._reader.feed_eof()


class _Broker(Broker):  # type: ignore[misc]  # amqtt is not seen by the type checker
    """amqtt's broker with bounds: it knows its connections, cuts off the silent ones, and ends in time."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self._streams: dict[asyncio.Task[Any] | None, asyncio.StreamWriter] = {}
        # Those that have not said who they are, oldest first.
        self._silent: dict[asyncio.Task[Any] | None, asyncio.StreamWriter] = {}
        self._cut_off = 0
        self._told_at = float("-inf")

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        task = asyncio.current_task()
        if len(self._streams) - len(self._silent) >= MOST_CLIENTS:
            self._cut(writer)
            return
        if len(self._silent) >= MOST_SILENT:
            # A client of MQTT speaks at once: the oldest silent one is none.
            self._cut(next(iter(self._silent.values())))
        self._streams[task] = self._silent[task] = writer
        try:
            await super().stream_connected(_BoundedReader(reader, lambda: self._cut(writer)), writer, listener_name)
        finally:
            self._silent.pop(task, None)
            self._streams.pop(task, None)
            writer.close()

    async def _initialize_client_session(self, *connection: Any) -> Any:
        task = asyncio.current_task()
        try:
            async with asyncio.timeout(GREETING_S):
                return await super()._initialize_client_session(*connection)
        except TimeoutError as error:
            self._cut(self._streams[task])
            raise AMQTTError("no CONNECT in time") from error
        finally:
            self._silent.pop(task, None)

    def _cut(self, writer: asyncio.StreamWriter) -> None:
        """Close a connection, and say so now and then."""
        for task in [task for task, other in self._silent.items() if other is writer]:
            del self._silent[task]
        writer.transport.abort()
        self._cut_off += 1
        now = time.monotonic()
        if now - self._told_at >= TOLD_EVERY_S:
            self._told_at = now
            log.warning(
                "the embedded broker cut off %d connections: it serves %d clients, none silent, packets up to %d kB",
                self._cut_off,
                MOST_CLIENTS,
                MOST_BYTES >> 10,
            )

    async def end(self) -> None:
        """Shut down in at most STOP_S seconds; what is still connected then is cut off."""
        for server in self._servers.values():
            server.instance.close()
        try:
            await asyncio.wait_for(self.shutdown(), STOP_S)
        except TimeoutError:
            log.debug("the embedded broker did not shut down by itself")
        for writer in list(self._streams.values()):
            writer.transport.abort()


class EmbeddedBroker:
    """Listens on one address from `start` to `stop`. Anyone who reaches it may publish: keep it on loopback."""

    def __init__(self, host: str = "127.0.0.1", port: int = 1883) -> None:
        self._host, self._port = host, port
        self._where = f"{host}:{port}"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._broker: _Broker | None = None

    def start(self) -> None:
        """Returns when connections are accepted; raises MqttError if the address cannot be used."""
        try:
            # amqtt hides why it cannot.
            check_free(self._host, self._port)
        except OSError as error:
            raise MqttError(why_no_broker(self._host, self._port, error)) from error
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
