"""What lasts of an answer in a saved notebook: one Markdown output with its plain twin and its provenance.

The answer goes through ``protocol.markdown.safe``; everything around it (folded reasoning, footer) is written here
around escaped text, because a live JupyterLab trusts the HTML in Markdown outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ...protocol.completion import Completion, Kept
from ...protocol.markdown import safe
from ...text.design.tokens import value
from ...text.inline import plain_html
from ...text.language import MOMENT
from ...text.messages import Message, localized, say
from .formats import VERBATIM, body
from .live import Settlement
from .seam_marks import asked_again, marked, seam_line, strip_line

_ENDED: Final[Mapping[str, Message]] = {
    "truncated": Message("cut off at the token limit (--continue goes on, --max-tokens raises it)"),
    "filtered": Message("cut by the content filter"),
    "interrupted": Message("stopped"),
    "incomplete": Message("incomplete"),
}

METADATA_KEY: Final = "deepseek_magic"

ONE_OUTPUT_CHARS: Final = 50_000
"""Above this one Markdown output would freeze the browser for some tenths of a second; segments are left instead."""

Part = tuple[dict[str, str], dict[str, Any]]
"""Data and metadata of one output."""

EMPTY: Final[dict[str, str]] = {"text/plain": ""}
"""What takes the place of a live view that has nothing to leave."""

NOTHING: Final[dict[str, str]] = {"text/html": "", "text/plain": ""}
"""An output cannot be taken away alone. Empty HTML has no height, and every converter knows what to do with it."""

_ENTITIES: Final = str.maketrans(
    {
        **{c: f"&#{ord(c)};" for c in "`@{}~"},
        "\n": "<br>",
        "\r": "",
        "\t": "&emsp;",
    }
)
"""Inside an HTML block nothing is Markdown, but JupyterLab cuts formulas out of the whole source before it looks for
blocks, and an empty line would end the block."""


def escape(text: str) -> str:
    """``text`` as inert text inside an HTML block of a Markdown document, on one line."""
    return plain_html(text).translate(_ENTITIES)


def fold(summary: str, text: str, *, unfolded: bool = False) -> str:
    """``text`` in a summary that opens at a click."""
    opened = " open" if unfolded else ""
    return f"<details{opened}><summary>{escape(summary)}</summary><blockquote>{escape(text.strip())}</blockquote></details>"


def lasting(ending: Settlement, *, unfolded: bool = False) -> list[Part]:
    """Data and metadata of what lasts: one output; a very long answer keeps its segments, each its own output.

    The first begins with the folded reasoning, the last ends with the footer and carries the provenance. The plain texts,
    joined, are the answer.
    """
    text = ending.completion.text
    if len(text) <= ONE_OUTPUT_CHARS or len(ending.segments) < 2:
        return [_part(_body(ending), text, ending, top=True, unfolded=unfolded)]
    first, *middle, last = ending.segments
    return [
        ({"text/markdown": f"{_head(ending, unfolded)}\n\n{first.markdown}".strip("\n"), "text/plain": first.raw}, {}),
        *(({"text/markdown": piece.markdown, "text/plain": piece.raw}, {}) for piece in middle),
        _part(last.markdown, last.raw, ending, top=False, unfolded=unfolded),
    ]


def _body(ending: Settlement) -> str:
    """The answer as it is shown, with its seams marked where it is Markdown."""
    completion = ending.completion
    if not completion.seams or ending.format in VERBATIM:
        return body(ending.format, completion)
    return marked(completion.text, completion.seams, safe, escape)


def around(ending: Settlement, *, unfolded: bool = False) -> tuple[Part, Part]:
    """The outputs above and below the segments, where these stay as they were drawn."""
    head = _head(ending, unfolded)
    above: Part = ({"text/markdown": head, "text/plain": ""} if head else NOTHING, {})
    rest = "\n\n".join(piece.markdown for piece in ending.segments[ending.drawn :])
    return above, _part(rest, ending.completion.text, ending, top=False, unfolded=unfolded)


def _part(shown: str, plain: str, ending: Settlement, *, top: bool, unfolded: bool) -> Part:
    parts = (_head(ending, unfolded) if top else "", shown, _foot(ending))
    data = {"text/markdown": "\n\n".join(part for part in parts if part), "text/plain": plain}
    return data, provenance(ending.completion)


def small(*lines: str) -> str:
    """A paragraph of small print."""
    return f"<p>{_small(lines)}</p>"


def as_output(said: str) -> dict[str, str]:
    """A sentence of ours as an output: printed, a front end would break it in the middle of a word."""
    return {"text/plain": said, "text/markdown": f"<p>{escape(said)}</p>"}


def _small(lines: Sequence[str]) -> str:
    return "<br>".join(f"<small>{escape(line)}</small>" for line in lines)


def _foot(ending: Settlement) -> str:
    """The footer and the sentences below."""
    failed = failure_html(ending.failure) if ending.failure else ""
    return failed + small(footer(ending.completion, ending.elapsed_s), *ending.said)


def failure_html(sentence: str) -> str:
    """Why a call failed: as large as an answer, with a red rule at its side."""
    rule = f"border-left:{value('rule')} solid {value('error')};padding-left:{value('space-2')}"
    return f'<p class="deepseek-magic-error" style="{rule}">{escape(sentence)}</p>'


def _strip(completion: Completion) -> str:
    """What happened, above an answer that broke off; it unfolds into where and why."""
    line = strip_line(completion)
    if not line or not completion.seams:
        return f"<p>{escape(line)}</p>" if line else ""
    return (
        f"<details><summary>{escape(line)}</summary>{_small([seam_line(seam) for seam in completion.seams])}</details>"
    )


def _head(ending: Settlement, unfolded: bool) -> str:
    return "\n\n".join(part for part in (_strip(ending.completion), _thought(ending, unfolded)) if part)


def _thought(ending: Settlement, unfolded: bool) -> str:
    reasoning, tokens = ending.completion.reasoning, ending.completion.usage.reasoning_tokens
    if not reasoning:
        return ""
    summary = say("Reasoning")
    if tokens:
        summary = say("Reasoning · 1 token" if tokens == 1 else "Reasoning · {tokens} tokens", tokens=f"{tokens:,}")
    return fold(summary, reasoning, unfolded=unfolded)


def footer(completion: Completion, elapsed_s: float | None = None) -> str:
    """One quiet line: how it ended, the model, seconds, first token, tokens with the cached share, cost."""
    if completion.kept is not None:
        return _kept(completion, completion.kept)
    said = [localized(_ENDED.get(completion.outcome, "")), completion.model or completion.request.model]
    # As the engine measured it, where it did: the view begins a moment later.
    record = completion.record
    total_s = elapsed_s if record is None else record.total_s
    if total_s is not None:
        said.append(say("{seconds} s", seconds=f"{total_s:.1f}"))
    if record is not None and record.ttft_s is not None:
        said.append(say("first token {seconds} s", seconds=f"{record.ttft_s:.2f}"))
    if record is not None and record.purpose == "hedge":
        said.append(say("answered by the second request"))
    if record is not None and record.ahead_s is not None:
        said.append(say("began {seconds} s ahead", seconds=f"{record.ahead_s:.1f}"))
    said += _spent(completion)
    if completion.seams:
        said.append(say("joined {count}×", count=len(completion.seams)))
    elif completion.attempts > 1:
        said.append(asked_again(completion.attempts - 1))
    if completion.finish_reason and completion.finish_reason != "stop":
        said.append(completion.finish_reason)
    return " · ".join(part for part in said if part)


def _spent(completion: Completion) -> list[str]:
    """Tokens and money; what is unknown is left out."""
    usage, said = completion.usage, []
    about = "≈ " if usage.estimated else ""
    if usage.prompt_tokens is not None and usage.cache_hit_tokens:
        share = f"{usage.cache_hit_tokens / usage.prompt_tokens:.0%}"
        tokens = f"{usage.prompt_tokens:,}"
        said.append(say("{about}{tokens} tokens in ({share} cached)", about=about, tokens=tokens, share=share))
    elif usage.prompt_tokens is not None:
        said.append(say("{about}{tokens} tokens in", about=about, tokens=f"{usage.prompt_tokens:,}"))
    if usage.completion_tokens is not None:
        said.append(say("{about}{tokens} out", about=about, tokens=f"{usage.completion_tokens:,}"))
    if completion.cost is not None:
        said.append(completion.cost.rounded)
    return said


def _kept(completion: Completion, kept: Kept) -> str:
    asked = say("from the journal, {when}", when=kept.asked_at.astimezone().strftime(MOMENT))
    # About: it was paid at the tariff of that hour.
    saved = say("saved ≈ {cost}", cost=kept.cost.rounded.removeprefix("≈ ")) if kept.cost is not None else ""
    return " · ".join(part for part in (asked, saved, completion.model or completion.request.model) if part)


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
            "seams": [{"kind": s.kind, "at_chars": s.at_chars, "detail": str(s.detail)} for s in completion.seams],
        }
    }
