"""``%deepseek_chat``: the conversations that cells continue."""

from __future__ import annotations

from typing import Any, Final

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

from ...metrics.tables import html_table, text_table
from ...policy.estimates import prompt_tokens
from ...protocol.conversation import Conversation
from ...protocol.errors import ConfigurationError
from ...protocol.markdown import safe
from ...session.files import free_path
from ...text.language import MOMENT
from ...text.messages import Message, say
from ..frontend import notebook_path
from .flags import arguments
from .manuals import helped

ACTIONS: Final = ("list", "show", "switch", "rename", "branch", "delete", "reload")
_MANY: Final = {
    (0, 0): Message("no name"),
    (0, 1): Message("at most one name"),
    (1, 1): Message("one name"),
    (1, 2): Message("one or two names"),
}
_NAMES_TAKEN: Final = {
    "list": (0, 0),
    "show": (0, 1),
    "switch": (1, 1),
    "rename": (1, 2),
    "branch": (1, 2),
    "delete": (1, 1),
    "reload": (0, 1),
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
        from ...session.calls import session

        session().chats.notebook = notebook_path(self.shell)
        if helped(self, "deepseek_chat", line):
            return
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
                known = name in session().chats
                print(
                    say("Cells now continue {name}.", name=name)
                    if known
                    else say("Cells now continue {name}, a new conversation.", name=name)
                )
            case "reload", ():
                _list_saved()
            case "reload", (name,):
                _reload(name)
            case "delete", (name,):
                session().chats.remove(name)
                print(say("{name} is deleted.", name=name))
            case _:
                _copy(action, *(names if len(names) == 2 else (session().chat, names[0])))


def _action(words: list[str]) -> tuple[str, list[str]]:
    if not words:
        return "list", []
    action, names = (words[0], words[1:]) if words[0] in ACTIONS else ("show", words)
    least, most = _NAMES_TAKEN[action]
    if not least <= len(names) <= most:
        raise ConfigurationError(
            Message(
                "{magic} takes {wanted}, not {count}.",
                magic=f"%deepseek_chat {action}",
                wanted=_MANY[least, most],
                count=len(names),
            ),
            hint=Message("%deepseek_chat? explains its words; put a name with spaces in quotation marks."),
        )
    return action, names


def _copy(action: str, name: str, new: str) -> None:
    from ...session.calls import session

    if action == "rename":
        session().chats.rename(name, new)
        if session().chat == name:
            session().defaults = session().defaults.replace(chat=new)
        print(say("{name} is now called {new}.", name=name, new=new))
    else:
        session().chats.branch(name, new)
        print(
            say(
                "{new} is a copy of {name} so far; use --chat {new} in a cell to continue it.",
                name=name,
                new=new,
            )
        )


def _list() -> None:
    from ...session.calls import session

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
    display({"text/plain": text_table(heads, rows, caption), "text/html": html_table(heads, rows, caption)}, raw=True)


def _list_saved() -> None:
    from ...session.calls import session

    chats = session().chats
    found = chats.saved()
    if not found:
        print(say("No earlier kernel left a conversation."))
        return
    heads = [say("conversation"), say("turns"), say("last changed"), say("of another notebook")]
    rows = [
        [
            saved.name,
            f"{len(saved.turns)}",
            saved.changed_at.astimezone().strftime(MOMENT),
            "" if chats.is_here(saved) else saved.notebook,
        ]
        for saved in found
    ]
    if all(map(chats.is_here, found)):
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    caption = say("%deepseek_chat reload NAME brings one back")
    display({"text/plain": text_table(heads, rows, caption), "text/html": html_table(heads, rows, caption)}, raw=True)


def _reload(name: str) -> None:
    from ...session.calls import session

    chats = session().chats
    saved = chats.reload(name)
    here = {turn.id for turn in chats[name].turns}
    gone = sum(turn not in here for turn, _ in saved.turns)
    print(
        say(
            "{name} is back as of {when}; turns: {count}.",
            name=name,
            count=len(saved.turns) - gone,
            when=saved.changed_at.astimezone().strftime(MOMENT),
        )
    )
    if gone:
        print(say("Turns that are no longer in the journal: {count}.", count=gone))
    if not chats.is_here(saved):
        print(say("It comes from another notebook: {path}.", path=saved.notebook))


def _show(chat: Conversation) -> None:
    text = chat.to_markdown()
    display({"text/plain": text, "text/markdown": safe(text)}, raw=True)


def _export(chat: Conversation, name: str, overwrite: bool) -> None:
    path = free_path(name, (".md", ".jsonl"), overwrite=overwrite)
    path.write_text(chat.to_markdown() if path.suffix.lower() == ".md" else chat.to_jsonl(), encoding="utf-8")
    print(say("{name} was written to {path}; turns: {count}.", name=chat.name, count=len(chat.turns), path=path))
