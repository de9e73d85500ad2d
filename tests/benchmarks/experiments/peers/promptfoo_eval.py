"""promptfoo: a configuration with a test a question, which its command evaluates; every result stands in its database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from ... import peers
from ..work import Work

STARTS_A_PROCESS = True
_HOME = Path(sys.prefix)
"""The environment has a node of its own, and the command in it."""
_MAIN = _HOME / "node_modules" / "promptfoo" / "dist" / "src" / "entrypoint.js"

if not _MAIN.exists():
    raise ImportError(f"No module named promptfoo in {_HOME.name}", name="promptfoo")


def run(work: Work) -> list[str | None]:
    folder = Path(work.folder)
    tests = [
        {"vars": {"q": q}, "assert": [{"type": "equals", "value": a}]}
        for q, a in zip(work.questions, work.answers, strict=True)
    ]
    provider = {
        "id": f"openai:chat:{peers.MODEL}",
        "config": {"apiBaseUrl": work.base_url, "apiKey": peers.KEY, "showThinking": False},
    }
    config, output = folder / f"{work.first}-{work.trials}.json", folder / f"{work.first}-{work.trials}-out.json"
    config.write_text(json.dumps({"prompts": ["{{q}}"], "providers": [provider], "tests": tests}), "utf-8")
    command = [str(_HOME / "bin" / "node"), str(_MAIN), "eval", "--config", str(config), "--output", str(output)]
    command += ["--max-concurrency", str(work.at_once), "--no-progress-bar", "--no-table"]
    command += ["--resume"] if work.again else []
    quiet = ("TELEMETRY", "UPDATE", "SHARING", "REMOTE_GENERATION")
    environment = {**os.environ, **{f"PROMPTFOO_DISABLE_{name}": "1" for name in quiet}}
    environment["PROMPTFOO_CONFIG_DIR"] = str(folder / "promptfoo")
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if not output.exists():
        raise RuntimeError((done.stderr or done.stdout).strip() or "no output")
    results = json.loads(output.read_text("utf-8"))["results"]["results"]
    texts = {each["vars"]["q"]: (each.get("response") or {}).get("output") for each in results}
    return [texts.get(question) for question in work.questions]
