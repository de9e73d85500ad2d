"""``%deepseek_log``: what the calls of this session cost and how fast they were."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

from ...engine.hosts.endpoints import in_order
from ...metrics.spending import Account
from ...metrics.tables import counted
from ...policy.budget import CURRENCY
from ...policy.pricing import PLAY_MONEY
from ...protocol.errors import ConfigurationError, DeepSeekError
from ...session import session, session_in_use
from ...session.files import free_path
from ...text.messages import say
from ..view.settled import small
from .flags import arguments
from .manuals import helped

JUDGED_CALLS: Final = 1_000
"""A service level is judged after each cell by so many of the newest calls: a few milliseconds, however long the log."""

TELLING_CALLS: Final = 20
"""Fewer calls than this are looked up in %deepseek_log, not announced: two slow answers are no news."""


@magics_class
class LogMagics(Magics):
    """Shows the log."""

    @magic_arguments()
    @argument("--window", type=float, metavar="SECONDS", help="sum up only the calls of the last so many seconds")
    @argument(
        "--plot",
        nargs="?",
        const="latency",
        metavar="KIND",
        help="draw a picture instead: latency (if no kind is named), speed, or waterfall (of the last call)",
    )
    @argument(
        "--columns",
        nargs="?",
        const="",
        metavar="WORD",
        help="say what the columns of the table mean: one by its name, those that mention a word, or all",
    )
    @argument("--csv", metavar="FILE", help="write all calls to FILE.csv instead of showing them")
    @argument("--overwrite", action="store_true", help="let --csv replace a file")
    @line_magic
    def deepseek_log(self, line: str) -> None:
        """Show the calls of this session, their sums, and whether the service levels were met.

        The same as a table for programs is ds.log: ds.log.to_pandas(), ds.log.summary(600), ds.log.plot("speed"),
        ds.log.explain("ttft_s").
        """
        if helped(self, "deepseek_log", line):
            return
        typed = arguments(self.deepseek_log, line)
        log = session().log
        if typed.csv is not None:
            with free_path(typed.csv, (".csv",), overwrite=typed.overwrite) as path:
                log.to_csv(path)
            print(say("{calls} written to {path}.", calls=counted(len(log)), path=path))
        elif typed.columns is not None:
            try:
                display(log.explain(typed.columns))
            except KeyError as error:
                raise ConfigurationError(str(error.args[0])) from None
        elif not len(log):
            print(say("No call has been made in this session yet."))
        elif typed.plot is not None:
            try:
                display(log.plot(typed.plot, window_s=typed.window))
            except (ValueError, ImportError) as error:
                raise ConfigurationError(error.args[0]) from None
        else:
            display(log, log.summary(typed.window), _account())


def _account() -> Account:
    """What this session spent, and every session on this machine, beside the budget."""
    account, journal, options = session().log.spending, session().journal, session().in_force({})
    cap = options.get("budget")
    spans = {"this session": account.total()}
    if journal.enabled:
        if notebook := session().chats.notebook:
            with contextlib.suppress(sqlite3.Error):
                spans["this notebook, ever"] = journal.spent(notebook=notebook)
        today = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
        with contextlib.suppress(sqlite3.Error):  # a damaged journal has said so already
            spans["this machine, today"] = journal.spent(today)
            spans["this machine, this month"] = journal.spent(today.replace(day=1))
    if cap is None:
        return Account(spans=spans)
    # What the demo answers is paid in its own money, and has the cap to itself.
    place = in_order(options.get("endpoint"), options.get("base_url"))[0]
    currency = PLAY_MONEY if place.price_list == "demo" else CURRENCY
    return Account(spans=spans, cap=Decimal(str(cap)), left=account.left(cap, currency))


class Breaches:
    """Says once, below the cell where it happened, that a service level is missed; again only after it was met.

    Below a cell that ended in an error of a call it says nothing: that has said what went wrong, and errors are counted as told.
    """

    def __init__(self) -> None:
        self._calls = 0
        self._told: set[str] = set()

    def post_run_cell(self, result: Any = None) -> None:
        """IPython's event: a cell has ended."""
        error = getattr(result, "error_in_exec", None)
        has_said = isinstance(error, DeepSeekError) and not isinstance(error, ConfigurationError)
        used = session_in_use()
        if used is None or used.log.spending.calls == self._calls:
            return
        self._calls = used.log.spending.calls
        for level in used.log.summary(last=JUDGED_CALLS).levels:
            if level.verdict == "met":
                self._told.discard(level.name)
            elif level.verdict == "missed" and level.n >= TELLING_CALLS and level.name not in self._told:
                if has_said:
                    self._told |= {level.name} & {"errors"}
                    continue
                from ...metrics.summary import LEVEL_WORDS  # here, because the extension loads this room

                self._told.add(level.name)
                said = say(
                    "Service level missed: {level} {target}, measured {measured} on {n} calls. %deepseek_log shows all of them.",
                    level=LEVEL_WORDS[level.name],
                    target=level.target,
                    measured=level.shown,
                    n=f"{level.n:,}",
                )
                display({"text/plain": said, "text/markdown": small(said)}, raw=True)
