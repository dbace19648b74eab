"""Viewers of the page, as a process of their own: `python -m tests.benchmarks.page_viewers PORT VIEWERS SECONDS`.

Each keeps the stream of states open and fetches the newest picture of every line when a state names one, as the
overview does. It imports nothing large: what it takes to start would count as what viewers cost. One line says that all
of them watch; another one, at the end, what they have got.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time


class Viewers:
    """Counts for all of them."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.states = self.pictures = self.size = 0

    async def watch(self) -> None:
        """One viewer, who comes again when its stream ends."""
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
            pictures = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
            writer.write(b"GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            await self._read(reader, *pictures)
            writer.close()
            pictures[1].close()

    async def _read(
        self, states: asyncio.StreamReader, answers: asyncio.StreamReader, asks: asyncio.StreamWriter
    ) -> None:
        shown: dict[str, int] = {}
        while (line := await states.readline()) and line.strip() != b"0":
            self.size += len(line)
            if not line.startswith(b"data: "):
                continue
            self.states += 1
            for one in json.loads(line[6:])["lines"]:
                name, number = one["name"], one["picture"]
                if not number or shown.get(name) == number:
                    continue
                shown[name] = number
                path = f"/lines/{name}/overlay.jpg?n={number}"
                asks.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                head = await answers.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await answers.readexactly(length)
                self.pictures += head.startswith(b"HTTP/1.1 200")
                self.size += len(head) + length


async def main(port: int, viewers: int, seconds: float) -> None:
    """Until they have watched for so long."""
    all_of_them = Viewers(port)
    tasks = [asyncio.create_task(all_of_them.watch()) for _ in range(viewers)]
    while all_of_them.states < viewers:
        await asyncio.sleep(0.05)
    sys.stdout.write("they watch\n")
    sys.stdout.flush()
    used = time.process_time()
    await asyncio.wait(tasks, timeout=seconds)
    own = (time.process_time() - used) / seconds
    for task in tasks:
        task.cancel()
    found = {
        "states": all_of_them.states,
        "pictures": all_of_them.pictures,
        "bytes": all_of_them.size,
        "processor": own,
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
