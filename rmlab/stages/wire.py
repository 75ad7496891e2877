"""JSON values to and from another process, whole or not at all."""

from __future__ import annotations

import json
from multiprocessing.connection import Connection
from typing import Any


class Wire:
    """receive raises EOFError or ConnectionError when the other process has gone."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def send(self, value: Any) -> None:
        self.connection.send_bytes(json.dumps(value).encode())

    def receive(self) -> Any:
        return json.loads(self.connection.recv_bytes())

    def close(self) -> None:
        self.connection.close()
