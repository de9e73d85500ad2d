"""What of the functions that a model asked for was run, and what it gave: written before it begins, and when it has ended.

So whoever goes on with the answer after its process died knows it, and runs nothing twice.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from ...protocol.tools.tool import ToolRun
from .reader import Journal
from .writer import now

_BEGUN: Final = """
    INSERT OR {otherwise} INTO tool_runs (call_id, tool_call_id, name, arguments, state, began_at) VALUES (?, ?, ?, ?, ?, ?)
"""
_ENDED: Final = "UPDATE tool_runs SET state = ?, result = ?, ended_at = ? WHERE call_id = ? AND tool_call_id = ?"
_OF_CALL: Final = "SELECT tool_call_id, name, arguments, state, result FROM tool_runs WHERE call_id = ?"


def note(journal: Journal, call_id: str, run: ToolRun, *, ended: bool) -> None:
    """Write down a call of the answer ``call_id``. One that begins is on disk when this returns, if the disk lets it."""
    if not journal.enabled or journal.notice:
        return
    # What begins once more, as of an answer that --cache has given again, has no end yet.
    begun = _BEGUN.format(otherwise="IGNORE" if ended else "REPLACE")
    journal.write([(begun, (call_id, run.id, run.name, run.arguments, run.state, now()))])
    if ended:
        journal.write([(_ENDED, (run.state, run.result, now(), call_id, run.id))])
    else:
        journal.flush()


def of_call(journal: Journal, call_id: str) -> dict[str, ToolRun]:
    """What became of the calls of an answer, by their ids; one in the state "begun" has no known end."""
    try:
        rows = journal.stored(_OF_CALL, (call_id,))
    except sqlite3.OperationalError:  # a file of an older shape
        return {}
    return {
        str(id): ToolRun(id=str(id), name=name, arguments=arguments, state=state, result=result or "")
        for id, name, arguments, state, result in rows
    }
