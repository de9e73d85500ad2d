"""``%deepseek_chat``: the conversations that cells continue."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

from ...metrics.tables import table_bundle
from ...policy.estimates import prompt_tokens
from ...protocol.errors import ConfigurationError
from ...protocol.markdown import safe
from ...protocol.options import OPTIONS_BY_NAME
from ...session import session
from ...session.files import free_path
from ...text.language import MOMENT
from ...text.messages import Message, say
from ..frontend import notebook_path
from .flags import arguments
from .manuals import helped

_NONE, _MAYBE = (0, 0, Message("no name")), (0, 1, Message("at most one name"))
_ONE, _ONE_OR_TWO = (1, 1, Message("one name")), (1, 2, Message("one or two names"))
_NAMES_TAKEN: Final = {
    "list": _NONE,
    "show": _MAYBE,
    "switch": _ONE,
    "rename": _ONE_OR_TWO,
    "branch": _ONE_OR_TWO,
    "delete": _ONE,
    "reload": _MAYBE,
}
"""How many names an action takes: at least, at most, in words."""
ACTIONS: Final = tuple(_NAMES_TAKEN)


@magics_class
class ChatMagics(Magics):
    """Lists, shows and changes conversations."""

    shell: Any

    @magic_arguments()
    @argument(
        "words",
        nargs="*",
        metavar="ACTION NAME",
        help="list (or nothing); show [NAME] (or the name alone); switch NAME: cells continue it from now on; rename [NAME] NEW; branch [NAME] NEW: a separate copy; delete NAME; reload NAME: a conversation of an earlier kernel (without NAME: lists them). Without NAME: the one that cells continue.",
    )
    @argument("--export", metavar="FILE", help="write the conversation to FILE.md or FILE.jsonl instead of showing it")
    @argument("--overwrite", action="store_true", help="let --export replace a file")
    @line_magic
    def deepseek_chat(self, line: str) -> None:
        """List, show, switch, rename, branch, delete, export and reload conversations.

        A cell continues its conversation ("main" unless --chat or switch name another); when it runs again, it replaces its own
        turn. --new starts a conversation over, --no-history asks without one. After a restart, reload brings a conversation
        back from the journal, and its turns still belong to their cells.
        """
        chats = session().chats
        chats.notebook = notebook_path(self.shell)
        if helped(self, "deepseek_chat", line):
            return
        typed = arguments(self.deepseek_chat, line)
        action, names = _action(typed.words)
        name = names[0] if names else session().chat
        match action:
            case "list" | "show" if typed.export is not None:
                chat, path = chats.find(name), export(name, typed.export, overwrite=typed.overwrite)
                print(say("{name} was written to {path}; turns: {count}.", name=name, count=len(chat.turns), path=path))
            case "list":
                _list()
            case "show":
                text = chats.find(name).to_markdown()
                display({"text/plain": text, "text/markdown": safe(text)}, raw=True)
            case "switch":
                _switch(name)
            case "reload" if names:
                _reload(name)
            case "reload":
                _list_saved()
            case "delete":
                chats.remove(name)
                print(say("{name} is deleted.", name=name))
                if name == session().chat != OPTIONS_BY_NAME["chat"].default:
                    _switch(str(OPTIONS_BY_NAME["chat"].default))
            case _:
                _copy(action, *(names if len(names) == 2 else (session().chat, name)))


def _action(words: list[str]) -> tuple[str, list[str]]:
    if not words:
        return "list", []
    action, names = (words[0], words[1:]) if words[0] in ACTIONS else ("show", words)
    least, most, wanted = _NAMES_TAKEN[action]
    if least <= len(names) <= most:
        return action, names
    magic, count = f"%deepseek_chat {action}", len(names)
    raise ConfigurationError(
        Message("{magic} takes {wanted}, not {count}.", magic=magic, wanted=wanted, count=count),
        hint=Message("%deepseek_chat? explains its words; put a name with spaces in quotation marks."),
    )


def _switch(name: str) -> None:
    session().defaults = session().defaults.replace(chat=name)
    if name in session().chats:
        print(say("Cells now continue {name}.", name=name))
    else:
        print(say("Cells now continue {name}, a new conversation.", name=name))


def _copy(action: str, name: str, new: str) -> None:
    if action == "rename":
        rename(name, new)
        print(say("{name} is now called {new}.", name=name, new=new))
    else:
        session().chats.branch(name, new)
        print(say("{new} is a copy of {name} so far; use --chat {new} in a cell to continue it.", name=name, new=new))


def rename(name: str, new: str) -> None:
    """Give a conversation another name, by which cells continue it if they continued it before."""
    session().chats.rename(name, new)
    if session().chat == name:
        session().defaults = session().defaults.replace(chat=new)


def export(name: str, file: str, *, overwrite: bool = False) -> Path:
    """Write a conversation as Markdown or JSON Lines, as the file's name ends. Raises ConfigurationError."""
    chat = session().chats.find(name)
    with free_path(file, (".md", ".jsonl"), overwrite=overwrite) as path:
        path.write_text(chat.to_markdown() if path.suffix.lower() == ".md" else chat.to_jsonl(), encoding="utf-8")
    return path


def _list() -> None:
    rows = []
    for name, chat in session().chats.items():
        tokens = sum(prompt_tokens(turn.messages) for turn in chat.turns)
        began = chat.turns[0].title if chat.turns else ""
        rows.append(["→" if name == session().chat else "", name, str(len(chat.turns)), f"{tokens:,}", began])
    if not rows:
        print(say("No conversation yet. The next cell starts {name}.", name=session().chat))
        return
    caption = say("Cells continue {name}", name=session().chat)
    heads = ("", say("conversation"), say("turns"), say("about tokens"), say("began with"))
    display(table_bundle(heads, rows, caption), raw=True)


def _list_saved() -> None:
    chats = session().chats
    found = chats.saved()
    if not found:
        print(say("No earlier kernel left a conversation."))
        return
    heads = [say("conversation"), say("turns"), say("last changed"), say("of another notebook")]
    rows = []
    for saved in found:
        changed = saved.changed_at.astimezone().strftime(MOMENT)
        rows.append([saved.name, str(len(saved.turns)), changed, "" if chats.is_here(saved) else saved.notebook])
    if all(map(chats.is_here, found)):
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    caption = say("%deepseek_chat reload NAME brings one back")
    display(table_bundle(heads, rows, caption), raw=True)


def _reload(name: str) -> None:
    chats = session().chats
    saved = chats.reload(name)
    here = {turn.id for turn in chats[name].turns}
    gone = sum(turn not in here for turn, _ in saved.turns)
    when, count = saved.changed_at.astimezone().strftime(MOMENT), len(saved.turns) - gone
    print(say("{name} is back as of {when}; turns: {count}.", name=name, count=count, when=when))
    if gone:
        print(say("Turns that are no longer in the journal: {count}.", count=gone))
    if not chats.is_here(saved):
        print(say("It comes from another notebook: {path}.", path=saved.notebook))
