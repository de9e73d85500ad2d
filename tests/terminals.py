"""Programs on a terminal of their own, by pexpect."""

from __future__ import annotations

import signal
from typing import Any


def end(program: Any) -> None:
    """Kill what ``pexpect.spawn`` started, if it runs still. Its own way waits for a tenth of a second, which a busy
    machine may need longer than."""
    if program.isalive():
        program.kill(signal.SIGKILL)
        program.wait()
    program.close()
