"""What lasts of an answer in a saved notebook: one Markdown output with its plain twin and its provenance.

The answer goes through ``protocol.markdown.safe``; everything around it (folded reasoning, footer) is written here
around escaped text, because a live JupyterLab trusts the HTML in Markdown outputs.
"""

from __future__ import annotations

import html
from typing import Any, Final

from ..protocol.completion import Completion, Kept
from .formats import body
from .live import Ending

__all__ = ["EMPTY", "Part", "escape", "fold", "footer", "lasting", "provenance", "remainder"]

METADATA_KEY: Final = "deepseek_magic"

ONE_OUTPUT_CHARS: Final = 50_000
"""Above this one Markdown output would freeze the browser for some tenths of a second; segments are left instead."""

Part = tuple[dict[str, str], dict[str, Any]]
"""Data and metadata of one output."""

EMPTY: Final[dict[str, str]] = {"text/plain": ""}
"""What takes the place of a live view that has nothing to leave."""

_ENTITIES: Final = str.maketrans(
    {
        **{c: f"&#{ord(c)};" for c in "`@{}~"},
        **{c: f"<span>&#{ord(c)};</span>" for c in "\\$"},
        "\n": "<br>",
        "\r": "",
        "\t": "&emsp;",
    }
)
"""Inside an HTML block nothing is Markdown, but JupyterLab cuts formulas out of the whole source before it looks for
blocks, and an empty line would end the block. The spans keep MathJax, which reads the finished page, from formulas."""

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
    return f"<details{opened}><summary>{escape(summary)}</summary><blockquote>{escape(text.strip())}</blockquote></details>"


def lasting(ending: Ending, *, unfolded: bool = False) -> list[Part]:
    """Data and metadata of what lasts: one output; a very long answer keeps its segments, each its own output.

    The first begins with the folded reasoning, the last ends with the footer and carries the provenance. The plain texts,
    joined, are the answer.
    """
    text = ending.completion.text
    if len(text) <= ONE_OUTPUT_CHARS or len(ending.segments) < 2:
        return [_part(body(ending.format, ending.completion), text, ending, top=True, unfolded=unfolded)]
    first, *middle, last = ending.segments
    return [
        ({"text/markdown": f"{_head(ending, unfolded)}\n\n{first.markdown}".strip("\n"), "text/plain": first.raw}, {}),
        *(({"text/markdown": piece.markdown, "text/plain": piece.raw}, {}) for piece in middle),
        _part(last.markdown, last.raw, ending, top=False, unfolded=unfolded),
    ]


def remainder(ending: Ending, *, unfolded: bool = False) -> Part:
    """The last output where the segments before it stay as they were drawn."""
    rest = "\n\n".join(piece.markdown for piece in ending.segments[ending.drawn :])
    return _part(rest, ending.completion.text, ending, top=True, unfolded=unfolded)


def _part(shown: str, plain: str, ending: Ending, *, top: bool, unfolded: bool) -> Part:
    lines = (footer(ending.completion, ending.elapsed_s), *ending.said)
    small = f"<p>{'<br>'.join(f'<sub>{escape(line)}</sub>' for line in lines)}</p>"
    parts = (_head(ending, unfolded) if top else "", shown, small)
    data = {"text/markdown": "\n\n".join(part for part in parts if part), "text/plain": plain}
    return data, provenance(ending.completion)


def _head(ending: Ending, unfolded: bool) -> str:
    completion = ending.completion
    if not completion.reasoning:
        return ""
    return fold(_reasoning_summary(completion), completion.reasoning, unfolded=unfolded)


def _reasoning_summary(completion: Completion) -> str:
    tokens = completion.usage.reasoning_tokens
    return f"Reasoning · {tokens:,} tokens" if tokens else "Reasoning"


def footer(completion: Completion, elapsed_s: float | None = None) -> str:
    """One quiet line: how it ended, the model, seconds, first token, tokens with the cached share, cost."""
    if completion.kept is not None:
        return _kept(completion, completion.kept)
    usage, record = completion.usage, completion.record
    about = "≈ " if usage.estimated else ""
    said = [_ENDINGS.get(completion.outcome, ""), completion.model or completion.request.model]
    if elapsed_s is not None:
        said.append(f"{elapsed_s:.1f} s")
    first_s = getattr(record, "ttft_s", None)
    if first_s is not None:
        said.append(f"first token {first_s:.2f} s")
    if usage.prompt_tokens is not None:
        cached = f" ({usage.cache_hit_tokens / usage.prompt_tokens:.0%} cached)" if usage.cache_hit_tokens else ""
        said.append(f"{about}{usage.prompt_tokens:,} tokens in{cached}")
    if usage.completion_tokens is not None:
        said.append(f"{about}{usage.completion_tokens:,} out")
    if completion.cost is not None:
        said.append(str(completion.cost))
    if completion.seams:
        said.append(f"joined {len(completion.seams)}×")
    if completion.finish_reason and completion.finish_reason != "stop":
        said.append(completion.finish_reason)
    return " · ".join(part for part in said if part)


def _kept(completion: Completion, kept: Kept) -> str:
    asked = kept.asked_at.astimezone().strftime("%d %b %Y %H:%M")
    # About: it was paid at the tariff of that hour.
    saved = f"saved ≈ {str(kept.cost).removeprefix('≈ ')}" if kept.cost is not None else ""
    said = (f"from the journal, {asked}", saved, completion.model or completion.request.model)
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
