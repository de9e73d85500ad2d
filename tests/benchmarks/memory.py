"""The memory of this process, as the system counts it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Growth:
    """Resident memory at its peak, beyond what the process had before, in MB; known once the work is done."""

    mb: float = 0.0


@contextlib.contextmanager
def growth() -> Iterator[Growth]:
    """The growth of what happens inside."""
    grown = Growth()
    gc.collect()
    trim()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before_kb = resident_kb()
    yield grown
    grown.mb = (resident_kb("VmHWM") - before_kb) / 1024


def trim() -> None:
    """Give back what the C library keeps free: left by the imports, it would hide the first megabytes of growth."""
    with contextlib.suppress(AttributeError):  # not every C library can
        ctypes.CDLL(None).malloc_trim(0)


def resident_kb(name: str = "VmRSS") -> int:
    """What this process has in memory now, or ``VmHWM``: at its peak."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])
