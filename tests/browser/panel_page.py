"""The panel below a cell, as a person finds its parts: by their names."""

from __future__ import annotations

from typing import Any

from deepseek_magic.text.language import Language
from deepseek_magic.text.messages import Message

from .conftest import Page

__all__ = ["Panel"]


class Panel:
    """One panel on a page. Its parts are named in English, and found in its language."""

    def __init__(self, page: Page, cell: int, language: Language = "en") -> None:
        self.page = page
        self.language: Language = language
        self.root = page.output(cell)
        self.prompt = self.root.get_by_label(self.said("Prompt"), exact=True)
        self.transcript = self.root.locator(".deepseek-magic-transcript")

    def said(self, english: str) -> str:
        """A message of the panel in its language."""
        return Message(english).localized(self.language)

    def label(self, name: str) -> Any:
        return self.root.get_by_label(self.said(name), exact=True)

    def button(self, name: str) -> Any:
        return self.root.get_by_role("button", name=self.said(name), exact=True)

    def tab(self, name: str) -> None:
        self.root.get_by_role("tab", name=self.said(name)).click()

    def reads(self, text: str, *, where: Any = None) -> None:
        """Wait until this is to be read."""
        area = where or self.root
        self.page.wait_until(lambda: text in str(area.inner_text()), timeout_s=60)

    def ready(self) -> None:
        """Wait until the next question can be sent."""
        self.page.wait_until(lambda: bool(self.button("Send").is_enabled()), timeout_s=60)

    def ask(self, text: str) -> None:
        self.prompt.fill(text)
        self.prompt.press("Shift+Enter")

    def set_up(self, experiment: str) -> None:
        """Choose an experiment of the failure lab by its name, and press the button."""
        self.label("experiment").select_option(self.said(experiment))
        self.root.locator(".deepseek-magic-set-up").click()

    def shoot(self, name: str) -> None:
        self.root.evaluate("node => node.scrollIntoView({block: 'start'})")
        self.page.page.wait_for_timeout(400)
        self.page.screenshot(f"panel_{name}")
