"""`rmlab serve` under many clients: python scripts/bench/serve.py [--quick | --full].

Against a stand-in for the model, whose scores tell which text they are of, and whose batches take
a fixed time:

- 1,000 clients at once with 5 requests each: `lost` requests got no scores, or those of other texts.
- 200 requests a second, arriving by chance over 1,000 connections: `p99_overhead_ms` is the 99th percentile
  of latency less the time of a batch.
- `memory_growth_mb` of the server over many requests, after as many to warm it up as a tenth of them.
- `drain_lost` of the requests of clients that never pause, when the server is told to end.

With SmolLM2: `of_embed`, the tokens/s through HTTP over those of the embedder by itself on the same texts.
They take turns, and each counts with its fastest time. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
from serve_load import Found, arrivals, crowd, until_closed

from rmlab.processes import Child

STUB_SECONDS = 0.005  # of a batch


def main() -> None:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # as for rmlab's commands, before torch is loaded
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="under a minute: fewer requests and texts")
    size.add_argument("--full", action="store_true", help="all requests and texts; the default")
    parser.add_argument("--only", choices=("lost", "overhead", "memory", "drain", "embed"))
    given = parser.parse_args()
    quick, found = given.quick, {}
    works = {
        "lost": lambda: lost(1000, 5),
        "overhead": lambda: overhead(1000, 200, 5 if quick else 30),
        "memory": lambda: memory(4000 if quick else 20000),
        "drain": lambda: drain(200),
        "embed": lambda: of_embed(4 if quick else 24, 4 if quick else 3),
    }
    for name, work in works.items():
        if given.only in (None, name):
            found |= work()
    print(json.dumps({key: float(f"{value:.4g}") for key, value in found.items()}))


@contextmanager
def server(*words: str) -> Iterator[tuple[Child, int]]:
    """A server in a process of its own, with the port that it tells of in its first line."""
    child = Child(*words, environment={}, is_read=True)
    try:
        assert child.stdout is not None
        line = child.stdout.readline().decode()
        port = re.search(r"(?:127\.0\.0\.1:)?(\d+)(?:\s|$)", line)
        if port is None:
            raise SystemExit(f"the server did not start: {line}")
        yield child, int(port[1])
        child.send_signal(signal.SIGTERM)
        if code := child.wait(timeout=60):
            raise SystemExit(f"the server ended with {code}")
    finally:
        child.stop()


def stub() -> AbstractContextManager[tuple[Child, int]]:
    return server("serve_stub", str(STUB_SECONDS))


def lost(clients: int, each: int) -> dict[str, float]:
    with stub() as (_, port):
        began = time.perf_counter()
        found = asyncio.run(crowd(port, clients, each))
        took = time.perf_counter() - began
    print(
        f"{clients:,} clients at once with {each} requests each: {found.right:,} right, {found.wrong} wrong, "
        f"{found.lost} lost; {found.asked / took:,.0f} requests/s"
    )
    return {"lost": found.lost, "requests_per_s": found.asked / took}


def overhead(connections: int, rate: float, seconds: float) -> dict[str, float]:
    with stub() as (_, port):
        asyncio.run(arrivals(port, 50, rate, 1.0, seed=1))
        taken = 1000 * np.array(asyncio.run(arrivals(port, connections, rate, seconds)))
    p50, p99 = np.percentile(taken, [50, 99]) - 1000 * STUB_SECONDS
    print(
        f"{rate} requests/s over {connections:,} connections, {len(taken):,} requests: beyond the model's "
        f"{1000 * STUB_SECONDS:g} ms, half take {p50:.1f} ms more, 99 % at most {p99:.1f} ms"
    )
    return {"p50_overhead_ms": p50, "p99_overhead_ms": p99}


def memory(requests: int) -> dict[str, float]:
    clients = 50
    with stub() as (child, port):
        process = psutil.Process(child.pid)
        sizes = []
        for n in (requests // 10, requests):
            if asyncio.run(crowd(port, clients, n // clients)).lost:
                raise SystemExit("requests were lost")
            sizes.append(process.memory_info().rss / 2**20)
    print(
        f"memory after {requests // 10:,} requests {sizes[0]:.0f} MB, after {requests:,} more "
        f"{sizes[1]:.0f} MB"
    )
    return {"memory_growth_mb": sizes[1] - sizes[0]}


def drain(clients: int) -> dict[str, float]:
    with stub() as (child, port):
        found = asyncio.run(_drained(child, port, clients))
    print(f"SIGTERM under {clients} clients that never pause: {found.right:,} answered, {found.lost} lost")
    return {"drain_lost": found.lost}


async def _drained(child: Child, port: int, clients: int) -> Found:
    is_ended = asyncio.Event()

    async def end() -> None:
        await asyncio.sleep(1.0)
        is_ended.set()
        child.send_signal(signal.SIGTERM)

    found, _ = await asyncio.gather(until_closed(port, clients, is_ended), end())
    return found


def of_embed(prompts: int, repeats: int) -> dict[str, float]:
    from serve_real import Real

    with TemporaryDirectory() as folder:
        real = Real(Path(folder) / "model", prompts)
        with server("rmlab", "serve", str(real.folder), "--port", "0") as (_, port):
            asyncio.run(real.through_http(port))
            times = [(real.embed(), asyncio.run(real.through_http(port))) for _ in range(repeats)]
    alone, http = (min(taken) for taken in zip(*times, strict=True))
    ratio = alone / http
    print(
        f"SmolLM2, {len(real.texts)} texts, {real.tokens:,} tokens: embed {real.tokens / alone:,.0f} "
        f"tokens/s, through HTTP {real.tokens / http:,.0f} tokens/s: {ratio:.3f} of embed's"
    )
    return {"embed_tokens_per_s": real.tokens / alone, "of_embed": ratio}


if __name__ == "__main__":
    main()
