"""A worse network in between: a round trip, and a line that all connections share.

    python -m tests.benchmarks.network PORT ROUND_TRIP_S BYTES_PER_S

listens, prints its port and hands everything on to PORT: each way half a round trip late, no faster than the line
carries, and on a new connection one round trip later still, for the handshake that loopback does in no time. 0 bytes a
second stand for a line without bounds. It ends when its input is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque


class Line:
    """One direction of the shared line: when a piece that is sent now has come through."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_s = 0.0

    def through_s(self, size: int, now_s: float) -> float:
        """The moment at which ``size`` more bytes have passed."""
        if not self._bytes_per_s:
            return now_s
        self._free_s = max(self._free_s, now_s) + size / self._bytes_per_s
        return self._free_s


async def carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Line, delay_s: float, first_s: float
) -> None:
    """One direction of one connection; ``first_s`` is when its first byte may set out."""
    loop = asyncio.get_running_loop()
    waiting: deque[tuple[float, bytes]] = deque()
    filled = asyncio.Event()

    async def deliver() -> None:
        while True:
            while not waiting:
                filled.clear()
                await filled.wait()
            due_s, data = waiting.popleft()
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            if not data:
                break
            writer.write(data)
            await writer.drain()
        writer.close()

    delivering = asyncio.create_task(deliver())
    with contextlib.suppress(ConnectionError):
        while not delivering.done():
            data = await reader.read(16384)
            now_s = max(loop.time(), first_s)
            waiting.append((line.through_s(len(data), now_s) + delay_s, data))
            filled.set()
            if not data:
                break
    with contextlib.suppress(ConnectionError):
        await delivering


async def main(port: int, round_trip_s: float, bytes_per_s: float) -> None:
    """Carry until the input is closed."""
    up, down = Line(bytes_per_s), Line(bytes_per_s)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        now_s, half_s = asyncio.get_running_loop().time(), round_trip_s / 2
        with contextlib.suppress(asyncio.CancelledError):  # at the end
            await asyncio.gather(
                carry(reader, far_writer, up, half_s, now_s + round_trip_s),
                carry(far_reader, writer, down, half_s, now_s),
            )

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
