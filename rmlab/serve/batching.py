"""The queue of a server: requests wait in it, and one thread scores as many at once as a batch holds.

A batch is whatever waits when the one before is done, so nothing waits while the model is idle. Each request
gets the scores of its own texts; one that cannot be scored fails by itself.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np

from rmlab.errors import RmlabError
from rmlab.models.text.rendering import Exchange
from rmlab.models.text.tokens import Encoded
from rmlab.reward.scored import NotFiniteError, ScoredTexts
from rmlab.serve.limits import Limits
from rmlab.serve.metrics import Metrics
from rmlab.serve.refusals import RefusedError, bad, busy
from rmlab.serve.scorer import Scorer

_LONGEST_WAIT = 30  # seconds that a client is told to wait at most


@dataclass(frozen=True)
class TextJob:
    """The texts of a request, all with tokens or all without. cost: their tokens, or an estimate of them."""

    texts: Sequence[Exchange] | Sequence[Encoded]
    cost: int

    @property
    def has_tokens(self) -> bool:
        return isinstance(self.texts[0], Encoded)


@dataclass(frozen=True, eq=False)
class _Waiting:
    job: TextJob
    future: asyncio.Future[ScoredTexts]
    since: float = field(default_factory=time.perf_counter)


class Batcher:
    """Scores jobs in batches, in a thread of its own, from `start` to `close`."""

    def __init__(self, scorer: Scorer, limits: Limits, metrics: Metrics) -> None:
        self.scorer, self.limits, self.metrics = scorer, limits, metrics
        self._queue: deque[_Waiting] = deque()
        self._change = threading.Condition()
        self._texts = self._cost = 0  # of what waits
        self._rate = 0.0  # tokens in a second, lately
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="rmlab-serve-model", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread when all that somebody waits for is scored."""
        with self._change:
            self._is_closed = True
            self._change.notify()
        if self._thread is not None:
            self._thread.join()

    @property
    def is_alive(self) -> bool:
        """Whether somebody scores what is asked for."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """How many texts wait."""
        return self._texts

    async def score(self, job: TextJob) -> ScoredTexts:
        """Waits for the scores of a job; RefusedError where it cannot be scored, or too many wait."""
        entry = _Waiting(job, asyncio.get_running_loop().create_future())
        n = len(job.texts)
        with self._change:
            if self._is_closed:
                raise busy("the server is ending", "draining", 1)
            if self._texts + n > self.limits.queue:
                raise busy(f"{self._texts} texts wait already; try again later", "queue", self._wait())
            self._queue.append(entry)
            self._texts += n
            self._cost += job.cost
            self._change.notify()
        return await entry.future

    def _wait(self) -> int:
        """The seconds in which what waits now should be done."""
        seconds = self._cost / self._rate if self._rate else 1.0
        return int(min(max(math.ceil(seconds), 1), _LONGEST_WAIT))

    def _work(self) -> None:
        while (batch := self._next()) or not self._is_closed:
            if not batch:
                continue
            began = time.perf_counter()
            outcomes = self._outcomes(batch)
            took = time.perf_counter() - began
            cost = sum(entry.job.cost for entry in batch)
            self._rate += (
                0.3 * (cost / max(took, 1e-6) - self._rate) if self._rate else cost / max(took, 1e-6)
            )
            with suppress(RuntimeError):  # the loop has ended, and with it those who wait
                self._loop.call_soon_threadsafe(self._deliver, batch, outcomes, began, took)

    def _next(self) -> list[_Waiting]:
        """Takes a batch from the queue, waiting for it; an empty one at the end."""
        with self._change:
            while not self._queue and not self._is_closed:
                self._change.wait()
            batch: list[_Waiting] = []
            cost = 0
            while self._queue and (not batch or cost + self._queue[0].job.cost <= self.limits.batch_tokens):
                entry = self._queue.popleft()
                self._texts -= len(entry.job.texts)
                self._cost -= entry.job.cost
                if not entry.future.done():  # given up, as the server ends
                    batch.append(entry)
                    cost += entry.job.cost
            return batch

    def _outcomes(self, batch: list[_Waiting]) -> list[ScoredTexts | RefusedError]:
        """The scores of each entry. Where a batch fails, its halves are tried, down to what fails alone."""
        try:
            return _scored([entry.job for entry in batch], self.scorer)
        except BaseException as error:  # a tokenizer's panic is no Exception; the thread must go on
            if len(batch) == 1:
                return [_refusal(error)]
        half = len(batch) // 2
        return self._outcomes(batch[:half]) + self._outcomes(batch[half:])

    def _deliver(
        self, batch: list[_Waiting], outcomes: list[ScoredTexts | RefusedError], began: float, took: float
    ) -> None:
        self.metrics.batch(sum(len(entry.job.texts) for entry in batch), took)
        for entry, outcome in zip(batch, outcomes, strict=True):
            self.metrics.queue_seconds.add(began - entry.since)
            if entry.future.done():  # nobody waits for it any more
                continue
            if isinstance(outcome, RefusedError):
                entry.future.set_exception(outcome)
            else:
                entry.future.set_result(outcome)


def _scored(jobs: Sequence[TextJob], scorer: Scorer) -> list[ScoredTexts | RefusedError]:
    """Scores jobs together, texts and tokens apart."""
    found: list[ScoredTexts | RefusedError] = [bad("nothing to score")] * len(jobs)
    for has_tokens in (False, True):
        numbers = [k for k, job in enumerate(jobs) if job.has_tokens is has_tokens]
        if not numbers:
            continue
        some = [jobs[k] for k in numbers]
        score: Callable = scorer.score_tokens if has_tokens else scorer.score_exchanges
        scores = score(_joined(some, scorer.compares and not has_tokens))
        sizes = [len(job.texts) for job in some]
        if len(scores.score) != sum(sizes):
            raise RuntimeError(f"the model gave {len(scores.score)} scores for {sum(sizes)} texts")
        ends = np.cumsum(sizes)
        for k, start, end in zip(numbers, ends - sizes, ends, strict=True):
            found[k] = _part(scores, start, end)
    return found


def _joined(jobs: Sequence[TextJob], compares: bool) -> list[Exchange | Encoded]:
    """The texts of all jobs. compares: prompts get names of their own in each job, since the responses of one
    request are not compared with those of another."""
    if not compares:
        return [text for job in jobs for text in job.texts]
    return [
        replace(text, prompt_id=f"{k} {text.prompt_id}") if isinstance(text, Exchange) else text
        for k, job in enumerate(jobs)
        for text in job.texts
    ]


def _part(scores: ScoredTexts, start: int, end: int) -> ScoredTexts | RefusedError:
    rows = slice(start, end)
    score = scores.score[rows]
    odd = np.flatnonzero(~np.isfinite(score))
    if len(odd):
        return RefusedError(500, f"the model gave {score[odd[0]]} for text {odd[0] + 1}", "not_finite")
    return ScoredTexts(score, scores.raw[rows], scores.n_tokens[rows], scores.truncated[rows])


def _refusal(error: BaseException) -> RefusedError:
    """Turns what the model raised for one request into the fault of its texts, or of the model."""
    if isinstance(error, NotFiniteError):
        return RefusedError(500, str(error), "not_finite")
    if isinstance(error, RmlabError):
        return bad(str(error), "text")
    return RefusedError(500, f"the model failed ({type(error).__name__}: {error})", "model")
