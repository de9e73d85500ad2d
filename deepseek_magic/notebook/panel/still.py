"""The still picture of a panel: what is left of it where no kernel runs, as Markdown with a plain twin.

Widgets are not saved with a notebook; this output is. While the panel lives, a rule of its own style sheet hides it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...text.messages import say
from ..view.settled import Part, escape


def still_class(panel_id: str) -> str:
    """The name by which the living panel hides its own picture."""
    return f"deepseek-magic-still-{panel_id}"


def still(panel_id: str, options: Mapping[str, Any], question: str, answer: Sequence[Part]) -> Part:
    """The picture: settings, the last question and its answer as it settled."""
    settings = " · ".join(f"{name} {value}" for name, value in options.items()) or say("all settings at their defaults")
    title = say("What the notebook keeps of a DeepSeek panel; run the cell to use the panel.")
    head = f'<p class="{still_class(panel_id)}"><sub>{escape(title)} {escape(settings)}</sub></p>'
    if not answer:
        return {"text/markdown": head, "text/plain": f"{title}\n{settings}"}, {}
    shown = "\n\n".join(data["text/markdown"] for data, _ in answer)
    plain = "".join(data["text/plain"] for data, _ in answer)
    asked = f"<blockquote>{escape(question)}</blockquote>"
    markdown = f"{head}\n\n{asked}\n\n{shown}"
    return {"text/markdown": markdown, "text/plain": f"{title}\n{settings}\n\n> {question}\n\n{plain}"}, answer[-1][1]
