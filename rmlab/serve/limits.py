"""What a server allows: sizes of requests, of the queue and of batches, and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass

from rmlab.errors import ConfigError

ON_CPU, ON_GPU = 8192, 65536  # tokens of a batch


@dataclass(frozen=True)
class Limits:
    """Sizes of what is accepted.

    batch_tokens: estimated tokens that are scored together; queue: texts that may wait; max_body: bytes of a
    request; max_texts: texts of a request; max_chars: characters of a text; held: bytes of requests that are
    in memory at once; connections: that are open at once; header_seconds, body_seconds: in which a request
    must arrive; idle_seconds: after which an unused connection is closed; drain_seconds: the longest that
    requests which were accepted keep a server that is ending; grace_seconds: in which a server that
    is ending still lets requests in that are on their way; strict: refuse texts that are too long for the
    model, and empty responses.
    """

    batch_tokens: int = ON_CPU
    queue: int = 8192
    max_body: int = 8 * 2**20
    max_texts: int = 2048
    max_chars: int = 1_000_000
    held: int = 256 * 2**20
    connections: int = 8192
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    idle_seconds: int = 75
    drain_seconds: int = 300
    grace_seconds: float = 0.3
    strict: bool = False

    def check(self) -> None:
        """Raises ConfigError for limits under which nothing could be served."""
        if self.max_texts > self.queue:
            raise ConfigError(
                f"--max-texts {self.max_texts} is more than may wait (--queue {self.queue}), so such a "
                "request could be refused for ever; lower the one or raise the other"
            )
        if self.max_body > self.held:
            raise ConfigError(
                f"--max-body {self.max_body} is more than all requests together may hold ({self.held} "
                "bytes); lower it, and send fewer texts in a request"
            )
