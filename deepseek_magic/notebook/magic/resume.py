"""``%deepseek_resume``: resume an answer that was stopped, broke off or reached its length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.display import display

from ...engine.journal.reader import NO_JOURNAL
from ...metrics.tables import cell, table_bundle
from ...policy.tools.approval import asks_for_tools
from ...protocol.completion import Completion
from ...protocol.errors import ConfigurationError
from ...protocol.outcome import OUTCOME_WORDS, RESUMABLE
from ...session import session
from ...text.language import MOMENT
from ...text.messages import Message, say, words
from ..view.background import BackgroundAnswer
from .flags import Order, read_line, with_format
from .magics import Answer, DeepSeekMagics
from .manuals import helped
from .past import variables

if TYPE_CHECKING:
    from ...session.prepared import Prepared

TAKEN: Final = frozenset(
    {"output", "quiet", "format", "buffer", "show_reasoning", "background", "run"}
    | {"model", "max_tokens", "endpoint", "base_url", "continue_on_length"}
    | {"tool", "confirm", "confirm_wait"}
)
"""The options that can still act on an answer whose question is asked already."""
_HEADS: Final = words("id", "asked", "prompt", "came", "outcome")
_ID_CHARS: Final = 8


@magics_class
class ResumeMagics(Magics):
    """Goes on with answers; draws and binds them as ``%%deepseek`` does."""

    shell: Any

    def __init__(self, shell: Any, magics: DeepSeekMagics) -> None:
        super().__init__(shell)
        self._magics = magics

    @line_magic
    def deepseek_resume(self, line: str) -> Answer | None:
        """Resume an answer that was stopped, broke off or reached its length.

        ::

          %deepseek_resume [flags]             the answer in _, the last one, or after a restart the newest in the journal
          %deepseek_resume [flags] NAME        the answer in that variable
          %deepseek_resume [flags] ID          the journal's answer whose id begins with this
          %deepseek_resume --list              list the answers that can be resumed

        The result is the whole answer; its usage and cost are those of the new call. Flags: -o, -m, --max-tokens,
        --endpoint, --base-url, --continue, --background, --run, and how it is shown (--quiet, --format, --buffer,
        --show-reasoning). An answer that waits for functions needs --tool again; those that were run before are not run
        twice.
        """
        begun = self._begin(line)
        return None if begun is None else self._magics.carry_out(*begun)

    async def awaited(self, line: str, _body: None) -> Answer | None:
        """The same for a cell that the input transformer turned into an ``await``."""
        begun = self._begin(line)
        return None if begun is None else await self._magics.carry_out_awaited(*begun)

    def _begin(self, line: str) -> tuple[Order, Prepared] | None:
        if helped(self, "deepseek_resume", line):
            return None
        if line.strip() == "--list":
            _list()
            return None
        word, options = _read(line)
        output = options.pop("output", None)
        order = Order(prompt="", options={}, output=output, quiet=options.get("quiet", False))
        known = variables(self.shell, self._magics.last_error)
        return order, session().prepare_resume(self._named(word), variables=known, **options)

    def _named(self, word: str) -> Completion | str | None:
        """The answer that the word on the line means; without one the answer in ``_`` if that can be continued."""
        value = self.shell.user_ns.get(word or "_")
        if isinstance(value, BackgroundAnswer):
            if not value.done:
                hint = Message("Wait for it, or stop() it.")
                raise ConfigurationError(Message("This answer is still being written."), hint=hint)
            value = value.completion
        if isinstance(value, Completion):
            return value if word or value.outcome in RESUMABLE else None
        if word and value is not None:
            raise ConfigurationError(Message("{name} is not an answer that can be resumed.", name=word))
        return word or None


def is_open(value: Any) -> bool:
    """Whether this variable holds an answer that can be continued."""
    if isinstance(value, BackgroundAnswer):
        value = value.completion
    return isinstance(value, Completion) and value.outcome in RESUMABLE


def _read(line: str) -> tuple[str, dict[str, Any]]:
    """The word on the line and the flags around it. Raises ConfigurationError."""
    before = read_line(line)
    word, _, rest = before.rest.partition(" ")
    after = read_line(rest)
    options = with_format({**before.options, **after.options})
    wrong = sorted(set(options) - TAKEN)
    if after.rest or wrong:
        what = f'"{after.rest[:40]}"' if after.rest else wrong[0]
        said = Message("%deepseek_resume cannot take {name}: the question is asked already.", name=what)
        raise ConfigurationError(said, hint=Message("%deepseek_resume? explains."))
    return word, options


def _list() -> None:
    rows = []
    for entry in session().journal.resumable():
        completion = entry.completion
        came = say("reasoning") if completion.reasoning else ""
        if completion.text:
            came = say("{count} characters", count=f"{len(completion.text):,}")
        asked, outcome = entry.started_at.astimezone().strftime(MOMENT), OUTCOME_WORDS[completion.outcome].localized()
        if asks_for_tools(completion):
            outcome = say("waits for its functions")
        rows.append([entry.call_id[:_ID_CHARS], asked, cell(completion.request.prompt), came, outcome])
    if not rows:
        print(say("There is no answer to resume."))
        if not session().journal.enabled:
            print(NO_JOURNAL.localized())
        return
    caption = say("%deepseek_resume ID continues one of them")
    heads = [head.localized() for head in _HEADS.values()]
    display(table_bundle(heads, rows, caption), raw=True)
