"""``%deepseek_chat``: the conversations that cells go on from."""

from __future__ import annotations

from typing import Any, Final

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

from ..metrics.tables import html_table, text_table
from ..policy.estimates import prompt_tokens
from ..protocol.conversation import Conversation
from ..protocol.errors import ConfigurationError
from ..protocol.markdown import safe
from .files import free_path
from .flags import arguments

__all__ = ["ACTIONS", "ChatMagics"]

ACTIONS: Final = ("list", "show", "switch", "rename", "branch", "delete")
_HEADS: Final = ("", "conversation", "turns", "about tokens", "began with")
_NAMES_TAKEN: Final = {
    "list": (0, 0),
    "show": (0, 1),
    "switch": (1, 1),
    "rename": (1, 2),
    "branch": (1, 2),
    "delete": (1, 1),
}
"""How many names an action takes, at least and at most."""


@magics_class
class ChatMagics(Magics):
    """Lists, shows and changes conversations."""

    shell: Any

    @magic_arguments()
    @argument(
        "words",
        nargs="*",
        metavar="ACTION NAME",
        help="list (or nothing); show [NAME] (or the name alone); switch NAME: cells go on from it from now on; "
        "rename [NAME] NEW; branch [NAME] NEW: a copy that goes its own way; delete NAME. "
        "Without NAME: the one cells go on from.",
    )
    @argument("--export", metavar="FILE", help="write the conversation to FILE.md or FILE.jsonl instead of showing it")
    @argument("--overwrite", action="store_true", help="let --export replace a file")
    @line_magic
    def deepseek_chat(self, line: str) -> None:
        """List, show, switch, rename, branch, delete and export conversations.

        A cell goes on from the cells of its conversation ("main" unless --chat or switch name another); run again, it
        replaces its own turn. --new begins a conversation anew, --no-history asks outside of any.
        """
        from ..session import session

        typed = arguments(self.deepseek_chat, line)
        action, names = _action(typed.words)
        if typed.export is not None and action in ("list", "show"):
            _export(session().chats.find(names[0] if names else session().chat), typed.export, typed.overwrite)
            return
        match action, names:
            case "list", _:
                _list()
            case "show", _:
                _show(session().chats.find(names[0] if names else session().chat))
            case "switch", (name,):
                session().defaults = session().defaults.replace(chat=name)
                print(f"Cells go on from {name} now{'' if name in session().chats else ', a new conversation'}.")
            case "delete", (name,):
                session().chats.remove(name)
                print(f"{name} is deleted.")
            case _:
                _copy(action, *(names if len(names) == 2 else (session().chat, names[0])))


def _action(words: list[str]) -> tuple[str, list[str]]:
    if not words:
        return "list", []
    action, names = (words[0], words[1:]) if words[0] in ACTIONS else ("show", words)
    least, most = _NAMES_TAKEN[action]
    if not least <= len(names) <= most:
        raise ConfigurationError(
            f"%deepseek_chat {action} takes {most if least == most else f'{least} or {most}'} name"
            f"{'' if most == 1 else 's'}, not {len(names)}.",
            hint="%deepseek_chat? explains its words; a name with spaces goes into quotes.",
        )
    return action, names


def _copy(action: str, name: str, new: str) -> None:
    from ..session import session

    if action == "rename":
        session().chats.rename(name, new)
        if session().chat == name:
            session().defaults = session().defaults.replace(chat=new)
        print(f"{name} is called {new} now.")
    else:
        session().chats.branch(name, new)
        print(f"{new} goes on from what was said in {name}; a cell joins it with --chat {new}.")


def _list() -> None:
    from ..session import session

    rows = []
    for name, chat in session().chats.items():
        tokens = sum(prompt_tokens(turn.messages) for turn in chat.turns)
        began = str(chat.turns[0].user.content).splitlines()[0][:60] if chat.turns else ""
        rows.append(["→" if name == session().chat else "", name, str(len(chat.turns)), f"{tokens:,}", began])
    if not rows:
        print(f"No conversation yet. The next cell begins {session().chat}.")
        return
    caption = f"Cells go on from {session().chat}"
    display({"text/plain": text_table(_HEADS, rows, caption), "text/html": html_table(_HEADS, rows, caption)}, raw=True)


def _show(chat: Conversation) -> None:
    text = chat.to_markdown()
    display({"text/plain": text, "text/markdown": safe(text)}, raw=True)


def _export(chat: Conversation, name: str, overwrite: bool) -> None:
    path = free_path(name, (".md", ".jsonl"), overwrite=overwrite)
    path.write_text(chat.to_markdown() if path.suffix.lower() == ".md" else chat.to_jsonl(), encoding="utf-8")
    print(f"{chat.name}: {len(chat.turns)} turn{'' if len(chat.turns) == 1 else 's'} written to {path}.")
