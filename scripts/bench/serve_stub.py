"""A server of rmlab with a stand-in for the model: scores are hashes, and a batch takes a fixed time.

`python -m serve_stub SECONDS` prints the port and serves until SIGTERM.
"""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Sequence

import numpy as np

from rmlab.models.text.rendering import Exchange
from rmlab.models.text.tokens import Encoded
from rmlab.reward.scored import ScoredTexts
from rmlab.serve import address
from rmlab.serve.admission import Guard
from rmlab.serve.app import Service
from rmlab.serve.limits import Limits
from rmlab.serve.server import run_server


def score_of(response: str) -> float:
    """The score of a response, which no other response has."""
    return zlib.crc32(response.encode()) / 2**32


class StubScorer:
    """Scores by `score_of`, after some seconds for each batch."""

    name = about = "stub"
    compares = False
    tokens = None

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def score_exchanges(self, exchanges: Sequence[Exchange]) -> ScoredTexts:
        time.sleep(self.seconds)
        scores = np.array([score_of(exchange.response) for exchange in exchanges])
        return ScoredTexts(scores, scores, np.ones(len(scores), np.int32), np.zeros(len(scores), bool))

    def score_tokens(self, rows: Sequence[Encoded]) -> ScoredTexts:
        raise NotImplementedError


def main(seconds: float) -> None:
    listener = address.bound("127.0.0.1", 0)
    address.listen(listener, "127.0.0.1", 0)
    service = Service(StubScorer(seconds), Limits(), Guard(None, frozenset()))
    run_server(service, listener, lambda: print(listener.getsockname()[1], flush=True))


if __name__ == "__main__":
    main(float(sys.argv[1]))
