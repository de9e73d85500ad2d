"""The lesson: twenty cells, with what the demo does wrong before some of them."""

from __future__ import annotations

from typing import Final, NamedTuple

KEY: Final = "sk-lesson-0123456789abcdef0123456789"
TAPE: Final = "lesson.tape"
TOOLS: Final = [
    {
        "type": "function",
        "function": {
            "name": "forecast",
            "description": "The weather in a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


class Cell(NamedTuple):
    """A cell, and the fault that is in force from it on ("" for none, None as before)."""

    source: str
    fault: str | None = None


RECORD: Final = f"%load_ext deepseek_magic\n%deepseek_record {TAPE}"
REPLAY: Final = f"%load_ext deepseek_magic\n%deepseek_replay {TAPE} --pace {{pace}}"
WATCH: Final = """import json, deepseek_magic as ds
from deepseek_magic.session import session
session().defaults = session().defaults.replace(timeline=True)"""
"""Every event of every call with its time; no cell of the lesson."""
WATCHED: Final = """print(json.dumps([
    {"prompt": r.prompt_sha256, "endpoint": r.endpoint, "cost": None if r.cost is None else float(r.cost),
     "outcome": r.outcome, "attempts": r.attempts, "total_s": r.total_s,
     "events": [(e.kind, e.gap_s, e.chars) for e in r.timeline]} for r in ds.log.records]))"""

CELLS: Final = (
    Cell("%%deepseek -o hello --think off\nSay hello in one sentence."),
    Cell("print(hello.outcome, len(hello.text))"),
    Cell("%%deepseek --think off\nShow a table and code."),
    Cell("%%deepseek -o thought --think high --show-reasoning\nWhat is 17 × 24?"),
    Cell("print(thought.reasoning[:40], '|', thought.text[:40])"),
    Cell("%%deepseek -o waited --think off\nName the planets.", "429 times=1 retry-after=1"),
    Cell("print(waited.attempts, waited.outcome)", ""),
    Cell("%%deepseek -o joined --think off\nWrite about the tides of the sea.", "cut at=content after=20 times=1"),
    Cell("print(joined.attempts, joined.outcome, len(joined.seams))", ""),
    Cell("%%deepseek --chat tutor --think off\nWe meet in room 12."),
    Cell("%%deepseek --chat tutor --think off\nWhere do we meet?"),
    Cell("%%deepseek --think off --json\nGive a city and its population as json."),
    Cell(
        f"tools = {TOOLS!r}\nasked = ds.ask('What is the weather in Paris?', tools=tools, think='off')\nasked.tool_calls"
    ),
    Cell("questions = [{'n': n, 'answer': str(2 * n)} for n in (3, 5, 7)]"),
    Cell(
        "%%deepseek_sweep -o sums --over questions --vary temperature=0,1 --repeat 2 --score contains={answer} "
        "--name sums --go\nWhat is {n} + {n}? Answer with the number."
    ),
    Cell("sums.to_pandas()[['n', 'temperature', 'repeat', 'text', 'score.contains']].to_csv(index=False)"),
    Cell("print([ds.ask('Tell me a number.', think='off').text for _ in range(2)])"),
    Cell("%%deepseek --think off\nThis is wrong.", "400 times=1"),
    Cell("%%deepseek --think off\n用一句话介绍杭州。", "keepalive-drip at=content after=5 every=0.05 for=0.3 times=1"),
    Cell(
        "import pathlib, socket\nprint(ds.ask(f'I work in {pathlib.Path.home()} on {socket.gethostname()}.', think='off').outcome)",
        "",
    ),
)
