"""What lasts of an answer in a saved notebook: one Markdown output with its plain twin and its provenance.

The answer goes through ``protocol.markdown.safe``; everything around it (folded reasoning, footer) is written here
around escaped text, because a live JupyterLab trusts the HTML in Markdown outputs.
"""

from __future__ import annotations

import html
from typing import Any, Final

from ..protocol import markdown
from ..protocol.completion import Completion
from .live import Ending

__all__ = ["escape", "fold", "footer", "lasting", "provenance"]

METADATA_KEY: Final = "deepseek_magic"

_ENTITIES: Final = str.maketrans({c: f"&#{ord(c)};" for c in "\\`$@{}~\n\r\t"})
"""Inside an HTML block nothing is Markdown, but JupyterLab cuts formulas out of the whole source before it looks for
blocks, by these characters; and an empty line would end the block."""

_ENDINGS: Final = {
    "truncated": "cut off at the token limit",
    "filtered": "cut by the content filter",
    "interrupted": "stopped",
    "incomplete": "incomplete",
}


def escape(text: str) -> str:
    """``text`` as inert text inside an HTML block of a Markdown document, on one line."""
    return html.escape(text).translate(_ENTITIES)


def fold(summary: str, text: str, *, unfolded: bool = False) -> str:
    """``text`` behind a summary that opens at a click."""
    opened = " open" if unfolded else ""
    return f"<details{opened}><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>"


def lasting(ending: Ending, *, unfolded: bool = False) -> tuple[dict[str, str], dict[str, Any]]:
    """The output's data and metadata: the answer between folded reasoning and footer; the answer alone as plain text."""
    completion = ending.completion
    model = completion.model or completion.request.model
    parts = [fold(_reasoning_summary(completion), completion.reasoning, unfolded=unfolded)]
    if not completion.reasoning:
        parts = [f"<p><sub>{escape(model)}</sub></p>"]
    if completion.text:
        parts.append(markdown.safe(completion.text))
    small = (footer(completion, ending.elapsed_s), *ending.notices)
    parts.append(f"<p>{'<br>'.join(f'<sub>{escape(line)}</sub>' for line in small)}</p>")
    return {"text/markdown": "\n\n".join(parts), "text/plain": completion.text}, provenance(completion)


def _reasoning_summary(completion: Completion) -> str:
    tokens = completion.usage.reasoning_tokens
    return f"Reasoning · {tokens:,} tokens" if tokens else "Reasoning"


def footer(completion: Completion, elapsed_s: float | None = None) -> str:
    """One quiet line: how it ended, the model, seconds, first token, tokens with the cached share, cost."""
    usage, record = completion.usage, completion.record
    said = [_ENDINGS.get(completion.outcome, ""), completion.model or completion.request.model]
    if elapsed_s is not None:
        said.append(f"{elapsed_s:.1f} s")
    first_s = getattr(record, "ttft_s", None)
    if first_s is not None:
        said.append(f"first token {first_s:.2f} s")
    if usage.prompt_tokens is not None:
        cached = f" ({usage.cache_hit_tokens / usage.prompt_tokens:.0%} cached)" if usage.cache_hit_tokens else ""
        said.append(f"{usage.prompt_tokens:,} tokens in{cached}")
    if usage.completion_tokens is not None:
        said.append(f"{usage.completion_tokens:,} out")
    if completion.cost is not None:
        said.append(str(completion.cost))
    if completion.seams:
        said.append(f"joined {len(completion.seams)}×")
    if completion.finish_reason and completion.finish_reason != "stop":
        said.append(completion.finish_reason)
    return " · ".join(part for part in said if part)


def provenance(completion: Completion) -> dict[str, Any]:
    """Output metadata: who wrote this and from what. The prompt as a hash, never a key."""
    usage = {name: getattr(completion.usage, name) for name in completion.usage.__struct_fields__}
    return {
        METADATA_KEY: {
            "model": completion.model,
            "parameters": dict(completion.request.options),
            "prompt_sha256": completion.request.digest(),
            "outcome": completion.outcome,
            "finish_reason": completion.finish_reason,
            "usage": {name: value for name, value in usage.items() if value is not None},
            "attempts": completion.attempts,
            "seams": [{"kind": seam.kind, "at_chars": seam.at_chars} for seam in completion.seams],
        }
    }
