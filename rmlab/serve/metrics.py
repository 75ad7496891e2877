"""Counts what a server does, and shows it in the text format of Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)


class Histogram:
    """Counts values by upper bounds."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds, self.counts, self.total = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str) -> Iterator[str]:
        so_far = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            so_far += count
            yield f'{name}_bucket{{le="{bound}"}} {so_far}'
        yield f"{name}_sum {self.total:.6f}"
        yield f"{name}_count {so_far}"


class Metrics:
    """What was counted since the start; only the thread of the event loop may change it."""

    def __init__(self) -> None:
        self.requests: defaultdict[tuple[str, int], int] = defaultdict(int)
        self.rejected: defaultdict[str, int] = defaultdict(int)
        self.texts = self.tokens = self.truncated = self.batches = 0
        self.request_seconds, self.queue_seconds = Histogram(_SECONDS), Histogram(_SECONDS)
        self.model_seconds, self.batch_texts = Histogram(_SECONDS), Histogram(_TEXTS)

    def batch(self, texts: int, seconds: float) -> None:
        self.batches += 1
        self.batch_texts.add(texts)
        self.model_seconds.add(seconds)

    def answered(self, route: str, status: int, seconds: float) -> None:
        self.requests[route, status] += 1
        self.request_seconds.add(seconds)

    def text(self, now: Mapping[str, float]) -> str:
        """The page of metrics. now: values of this moment by their names."""
        lines = [
            *_counter("requests", "Requests by route and status."),
            *(
                f'rmlab_requests_total{{route="{route}",status="{status}"}} {n}'
                for (route, status), n in sorted(self.requests.items())
            ),
            *_counter("rejected", "Requests without scores, by reason."),
            *(f'rmlab_rejected_total{{reason="{kind}"}} {n}' for kind, n in sorted(self.rejected.items())),
        ]
        for name, what, value in (
            ("texts", "Texts scored.", self.texts),
            ("tokens", "Tokens of responses scored, where the embedder counts them.", self.tokens),
            ("truncated", "Texts that were longer than the model reads.", self.truncated),
            ("batches", "Batches scored.", self.batches),
        ):
            lines += [*_counter(name, what), f"rmlab_{name}_total {value}"]
        for name, moment in now.items():
            lines += [f"# TYPE rmlab_{name} gauge", f"rmlab_{name} {moment:g}"]
        for name, what, histogram in (
            ("request_seconds", "From the request's headers to its response.", self.request_seconds),
            ("queue_seconds", "Waiting for a batch.", self.queue_seconds),
            ("model_seconds", "Scoring a batch.", self.model_seconds),
            ("batch_texts", "Texts of a batch.", self.batch_texts),
        ):
            lines += [f"# HELP rmlab_{name} {what}", f"# TYPE rmlab_{name} histogram"]
            lines += histogram.lines(f"rmlab_{name}")
        return "\n".join(lines) + "\n"


def _counter(name: str, what: str) -> list[str]:
    return [f"# HELP rmlab_{name}_total {what}", f"# TYPE rmlab_{name}_total counter"]
