"""A class that reads Chinese: whatever the magics print, show or refuse, no English sentence is among it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from deepseek_magic.demo.server import DemoServer

Run = Callable[..., list[list[Any]]]

ENGLISH = re.compile(r"\b[A-Za-z][a-z]+ [a-z]+ [a-z]{2,}")
"""Three words in a row: no name of a model, a flag or a file has them."""
WRITES = """
import json
code = ["%deepseek 啊", "for x in y:\\n    %deepseek 啊", "%deepseek --flagg 啊", "%deepseek 啊 {z}", "z = f()", "%deepseek 啊 {z}"]
cells = [{"cell_type": "code", "source": source} for source in code]
file = open("mixed.ipynb", "w")
written = file.write(json.dumps({"cells": cells})), file.close()
"""
CELLS = (
    "%deepseek_log",
    "%deepseek_chat",
    "%deepseek_resume --list",
    "%deepseek --think off --max-tokens 3 啊啊啊",
    "%%deepseek -o a --think off\n啊",
    "%%deepseek --cache --dry-run --think off --chat b\n啊",
    "%%deepseek --dry-run --no-history --max-tokens 9\n喔",
    "%deepseek_log",
    "%deepseek_log --window 60",
    "%deepseek_log --csv a.csv",
    "%deepseek_log --csv a.csv",
    "%deepseek_log --csv a.txt",
    "%deepseek_log --plott",
    "%deepseek_log --plot nonsense",
    "%deepseek_log --window soon",
    "%deepseek_log --columns",
    "%deepseek_log --columns nonsense",
    "%deepseek_log --help",
    "%deepseek_chat",
    "%deepseek_chat show",
    "%deepseek_chat branch other",
    "%deepseek_chat branch other",
    "%deepseek_chat switch other",
    "%deepseek_chat rename third",
    "%deepseek_chat rename a b c",
    "%deepseek_chat delete thrid",
    "%deepseek_chat delete third",
    "%deepseek_chat reload",
    "%deepseek_chat reload nothing",
    "%deepseek_chat show --export c.md",
    "%deepseek_chat --help",
    "%deepseek_resume --list",
    "%deepseek_resume -o b",
    "%deepseek_resume a",
    "%deepseek_resume 0000",
    "%deepseek_resume --temperature 1 a",
    "%deepseek_resume --help",
    "%deepseek_fix",
    "%deepseek_fix --help",
    "%deepseek_models",
    "%deepseek_models nonsense",
    "%deepseek_key",
    "%deepseek_panel nonsense",
    "%deepseek_demo",
    "%deepseek_demo stop",
    "%deepseek_demo --help",
    "%deepseek_sweeps --help",
    "%deepseek_panel --help",
    "%deepseek_cost --help",
    "%deepseek_cost",
    "%deepseek_cost a.ipynb b.ipynb",
    "%deepseek_cost none.ipynb",
    WRITES,
    "%deepseek_cost mixed.ipynb",
    "%deepseek --modle flash hi",
    "%deepseek --think of hi",
    "%deepseek --endpoint deepsek hi",
    "%deepseek -s @nothing hi",
    "%deepseek --help",
    "%config DeepSeekMagics",
)


def texts_of(output: Any) -> list[str]:
    match output.output_type:
        case "stream":
            return [output.text]
        case "error":
            return list(output.traceback)
    return [str(output.data.get("text/plain", "")), re.sub("<.*?>", " ", str(output.data.get("text/html", "")))]


def test_no_english_sentence_is_left(run_headless: Run, environment: dict[str, str], demo: DemoServer) -> None:
    environment["DEEPSEEK_MAGIC_LANGUAGE"] = "zh"
    ran = run_headless(f"import os; os.chdir({environment['HOME']!r})", *CELLS)[1:]
    told = [(cell, text) for cell, outputs in zip(CELLS, ran, strict=True) for o in outputs for text in texts_of(o)]
    answers = {str(o.data.get("text/plain")) for cells in ran[3:5] for o in cells if "data" in o}
    left = [(cell, found[0], text) for cell, text in told if text not in answers and (found := ENGLISH.search(text))]
    assert left == [], "\n\n".join(f"{cell}: {text}" for cell, _, text in left)
    assert len(told) > len(CELLS)
