"""A port for a program that binds it itself."""

from __future__ import annotations

import random
import socket
from typing import Final

PORTS: Final = range(20_000, 32_000)
"""Below those that systems give to outgoing connections, one of which could have the port by the time it is bound."""


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port is free")
