"""Do jupyter-ai's magics and LangChain's client for OpenAI work through the relay, with their base URL and a token and nothing else?

    python -m tests.relay.clients .venv-bench/ai/bin/python

The Python is one that has ``jupyter-ai-magics`` and ``langchain-openai``; ``.ci/bench`` makes it, because they need other versions than the
rest. The demo's own log is the judge: one call for all of them, and each has the text that it sent.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import httpx

from deepseek_magic.demo.server import DemoServer
from tests.relay.running import HANG_S, RunningRelay

QUESTION: Final = "Hello"
MODEL: Final = "deepseek-flash"
THEIRS: Final = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from langchain_openai import ChatOpenAI

base_url, token, model, question = sys.argv[1:]
chat = ChatOpenAI(base_url=base_url, api_key=token, model=model)
found = {"langchain, whole": chat.invoke(question).content}
found["langchain, stream"] = "".join(chunk.content for chunk in chat.stream(question))
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "jupyter_ai_magics")
with capture_output() as captured:
    done = shell.run_cell(f"%%ai openai-chat-custom:{model} --format text\\n{question}")
done.raise_error()
found["jupyter-ai"] = captured.stdout + "".join(str(each.data.get("text/plain", "")) for each in captured.outputs)
print(json.dumps(found))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python")
    typed = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        DemoServer(pace=0.1) as demo,
        RunningRelay(Path(name) / "relay", demo) as relay,
    ):
        url = f"{relay.base_url}/v1"
        body = {"model": MODEL, "messages": [{"role": "user", "content": QUESTION}]}
        answer = httpx.post(f"{url}/chat/completions", json=body, headers=relay.headers(1), timeout=HANG_S)
        text = answer.json()["choices"][0]["message"]["content"]
        environment = {**os.environ, "OPENAI_API_KEY": relay.token(), "OPENAI_API_BASE": url, "OPENAI_BASE_URL": url}
        command = [typed.python, "-c", THEIRS, url, relay.token(), MODEL, QUESTION]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        for who, told in found.items():
            print(f"{who:18} {'the same text' if text in told else f'ANOTHER TEXT: {told!r}'}")
        print(f"{len(relay.posts())} calls reached the demo")
    return int(any(text not in told for told in found.values()))


if __name__ == "__main__":
    sys.exit(main())
