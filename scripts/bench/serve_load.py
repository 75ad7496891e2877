"""Light clients of a reward server, over plain sockets, so that they are not what is measured."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

from serve_stub import score_of


@dataclass
class Found:
    """What clients saw. wrong: replies with scores of other texts; lost: requests without a reply."""

    asked: int = 0
    right: int = 0
    wrong: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def lost(self) -> int:
        return self.asked - self.right


class Connection:
    """A connection that stays open, and asks one thing at a time."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, body: dict[str, Any]) -> tuple[int, dict[str, Any], bool]:
        """Sends a body to /score -> status, response, and whether the connection ends with it."""
        content = json.dumps(body).encode()
        head = (
            f"POST /score HTTP/1.1\r\nhost: localhost:{self.port}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(content)}\r\n\r\n"
        )
        self.writer.write(head.encode() + content)
        lines = (await self.reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        fields = dict(line.partition(b": ")[::2] for line in lines[1:] if line)
        reply = await self.reader.readexactly(int(fields[b"content-length"]))
        return int(lines[0].split()[1]), json.loads(reply), fields.get(b"connection") == b"close"

    def close(self) -> None:
        self.writer.close()


def texts(name: str, n: int) -> dict[str, Any]:
    """A request whose responses no other request has."""
    return {"prompts": [f"prompt {name}"] * n, "responses": [f"response {k} of {name}" for k in range(n)]}


async def judged(connection: Connection, body: dict[str, Any], found: Found) -> bool:
    """Asks and compares the scores with those of the texts -> whether the connection can be used again."""
    found.asked += 1
    began = time.perf_counter()
    try:
        status, reply, is_last = await connection.ask(body)
    except (OSError, asyncio.IncompleteReadError):
        return False
    found.seconds.append(time.perf_counter() - began)
    if status == 200 and reply["scores"] == [score_of(text) for text in body["responses"]]:
        found.right += 1
    elif status == 200:
        found.wrong += 1
    return not is_last


async def opened(port: int, n: int) -> list[Connection]:
    connections = [Connection(port) for _ in range(n)]
    for at in range(0, n, 100):
        await asyncio.gather(*(one.open() for one in connections[at : at + 100]))
    return connections


async def crowd(port: int, clients: int, each: int) -> Found:
    """So many clients at once, each of which asks so often, one request after the other."""
    found = Found()

    async def client(k: int, connection: Connection) -> None:
        for turn in range(each):
            if not await judged(connection, texts(f"{k}-{turn}", 1 + (k + turn) % 3), found):
                break
        connection.close()

    connections = await opened(port, clients)
    await asyncio.gather(*(client(k, one) for k, one in enumerate(connections)))
    return found


async def arrivals(port: int, connections: int, rate: float, seconds: float, seed: int = 0) -> list[float]:
    """Requests that arrive by chance at a rate, whatever the server does -> the latency of each, from when it
    was due. Connections take turns."""
    rng = random.Random(seed)
    free = await opened(port, connections)
    latencies: list[float] = []
    found = Found()

    async def one(due: float, connection: Connection, body: dict[str, Any]) -> None:
        await judged(connection, body, found)
        latencies.append(time.perf_counter() - due)
        free.append(connection)

    bodies = [texts(f"arrival {k}", 1) for k in range(int(rate * seconds))]
    tasks, due = [], time.perf_counter() + 0.1
    for body in bodies:
        due += rng.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(one(due, free.pop(0), body)))
    await asyncio.gather(*tasks)
    if found.lost:
        raise SystemExit(f"{found.lost} of the requests that arrived got no scores")
    return latencies


async def until_closed(port: int, clients: int, is_ended: asyncio.Event) -> Found:
    """Clients that ask without a pause until the server closes their connections."""
    found = Found()

    async def client(k: int, connection: Connection) -> None:
        turn = 0
        while await judged(connection, texts(f"{k}-{turn}", 1), found):
            turn += 1
        if not is_ended.is_set():
            raise SystemExit("the server closed a connection before it was told to end")

    await asyncio.gather(*(client(k, one) for k, one in enumerate(await opened(port, clients))))
    return found
