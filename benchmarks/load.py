"""Asks a server over and over on some connections that stay open, and tells what it took.

`python benchmarks/load.py PORT TOKEN SECONDS PATH [CONNECTIONS]`; it is small so that it takes
little of the cores that the server is measured on.
"""

import asyncio
import json
import sys
import time


async def ask(port, request, until, took):
    """One connection: a request, its answer, the next."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while (begun := time.perf_counter()) < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise ValueError(head.decode())
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
        took.append(time.perf_counter() - begun)
    writer.close()


async def main(port, token, seconds, path, connections=16):
    """All connections at once."""
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
    ).encode()
    took, begun = [], time.perf_counter()
    until = begun + seconds
    await asyncio.gather(*(ask(port, request, until, took) for _ in range(connections)))
    rate = len(took) / (time.perf_counter() - begun)
    took.sort()
    p50, p99 = took[len(took) // 2], took[int(len(took) * 0.99)]
    told = {"rate": rate, "p50": p50, "p99": p99, "worst": took[-1]}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4]))
