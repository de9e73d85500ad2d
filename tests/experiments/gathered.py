"""``asyncio.gather(*map(ds.aask, questions))``, as docs/api.md has it, on a network that breaks one request in eight.

python -m tests.experiments.gathered                           # 800 questions against 200: none fails, and what a call costs
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import deepseek_magic as ds
from deepseek_magic.demo.api.inquiry import asked_for
from deepseek_magic.demo.api.replies import reply

FAULTS: Final = "500 p=0.06 seed=1; cut p=0.06 seed=2"
FEW: Final = 200
MORE_CPU: Final = 1.2
_SERVE: Final = f"from deepseek_magic.demo.server import serve; serve(fault={FAULTS!r}, pace=0)"
"""In a process of its own, so that what a call costs is our part alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """``failed`` of the questions had no answer, ``wrong`` another one than asked for."""

    questions: int
    failed: int
    wrong: int
    cpu_ms: float
    """Of this process, for each call."""


async def gathered(questions: int, ask: Callable[[str], Awaitable[ds.Completion]] = ds.aask) -> Gathered:
    """Ask so many questions at once, of the server that the environment names."""
    asked = [f"echo item {number}" for number in range(questions)]
    began_s = time.process_time()
    answers = await asyncio.gather(*map(ask, asked), return_exceptions=True)
    cpu_s = time.process_time() - began_s
    right = [answer for answer in answers if isinstance(answer, ds.Completion)]
    wrong = sum(answer.text != reply(asked_for(json.loads(answer.request.encoded()))).text for answer in right)
    return Gathered(questions=questions, failed=questions - len(right), wrong=wrong, cpu_ms=1000 * cpu_s / questions)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=800)
    typed = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as home:
        os.environ["DEEPSEEK_MAGIC_HOME"] = home
        for questions in (FEW, typed.questions):
            with subprocess.Popen([sys.executable, "-c", _SERVE], stdout=subprocess.PIPE, text=True) as server:
                assert server.stdout is not None
                address, key = server.stdout.readline().strip(), f"sk-test-gathered-{questions}"
                os.environ |= {"DEEPSEEK_BASE_URL": address, "DEEPSEEK_API_KEY": key}
                found.append(asyncio.run(gathered(questions)))
                server.terminate()
            print(found[-1], flush=True)
        ds.journal.close()
    few, many = found
    print(f"CPU a call: {many.cpu_ms / few.cpu_ms:.2f} x that at {FEW} (at most {MORE_CPU} x)")
    fine = not any(each.failed or each.wrong for each in found)
    return 0 if fine and many.cpu_ms <= MORE_CPU * few.cpu_ms else 1


if __name__ == "__main__":
    sys.exit(main())
