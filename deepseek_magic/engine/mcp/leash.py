"""A program that ends with another one: what starts an MCP server, so that no server outlives its kernel.

``python leash.py PID COMMAND …`` runs the command with its own standard streams, and ends it with all that it has started when
the process PID is gone, however that ended. A kernel that is killed can end nothing, and a server need not notice that
nobody speaks to it any more. Only the standard library, and nothing of this package: it starts in a few hundredths of a second.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time

LOOK_S = 0.5
GRACE_S = 2.0


def main(parent: int, command: list[str]) -> int:
    """Run ``command``; its exit status."""
    program = subprocess.Popen(command)
    while True:
        try:
            return program.wait(LOOK_S)
        except subprocess.TimeoutExpired:
            if os.getppid() != parent:
                _end(program)
                return 1


def _end(program: "subprocess.Popen[bytes]") -> None:
    """End the group that this process and the program are in."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    until = time.monotonic() + GRACE_S
    while program.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
