"""A relay on the loopback address that makes a server as far away as a real one.

    python tests/release/distance.py --to PORT --rtt 0.05

prints its own port as one line. What a round trip costs on a network it costs here: one for a
new connection, as TCP's handshake takes it, and half of one for whatever goes either way.
"""

import argparse
import asyncio
from asyncio import StreamReader, StreamWriter

_PIECE = 1 << 16


async def carry(source: StreamReader, sink: StreamWriter, delay: float, first: float) -> None:
    """Pass bytes on, each `delay` seconds after it came, none before the time `first`."""
    clock = asyncio.get_running_loop().time
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def collect() -> None:
        piece = b"begin"
        while piece:
            try:
                piece = await source.read(_PIECE)
            except ConnectionError:
                piece = b""
            await waiting.put((max(clock(), first) + delay, piece))

    collecting = asyncio.create_task(collect())
    while True:
        due, piece = await waiting.get()
        await asyncio.sleep(due - clock())
        if not piece:
            break
        sink.write(piece)
    await collecting
    sink.close()


async def serve(port: int, rtt: float) -> None:
    """Relay to `port` until killed."""

    async def connected(reader: StreamReader, writer: StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        first = asyncio.get_running_loop().time() + rtt
        await asyncio.gather(
            carry(reader, back, rtt / 2, first),
            carry(there, writer, rtt / 2, 0),
            return_exceptions=True,
        )

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=int, required=True, help="port of the server")
    parser.add_argument("--rtt", type=float, default=0.05, help="a round trip, in seconds")
    args = parser.parse_args()
    asyncio.run(serve(args.to, args.rtt))
