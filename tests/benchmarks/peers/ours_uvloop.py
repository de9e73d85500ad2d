"""deepseek-magic as sweeps use it, on another loop."""

import uvloop

from .ours_unwatched import connected

__all__ = ["LOOP", "PACKAGE", "TITLE", "connected"]

TITLE = "deepseek-magic, nobody watches, on uvloop"
PACKAGE = "uvloop"
LOOP = uvloop.new_event_loop
