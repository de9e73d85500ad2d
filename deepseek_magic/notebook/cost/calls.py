"""``ds.cost(path)``: what a notebook would cost if all of it were run now, in this kernel or in a new one."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from IPython.core.getipython import get_ipython

from ...engine.hosts.endpoints import in_order
from ...engine.tape.deck import deck
from ...policy.budget import CURRENCY
from ...policy.pricing import PLAY_MONEY
from ...session import session
from ...session.state import Session
from ..frontend import notebook_path
from ..magic.defaults import take_project_defaults
from ..magic.magics import DEFAULTS, DeepSeekMagics
from .names import Names
from .reckoning import Reckoning
from .situation import Situation
from .source import PACKAGE, Reader
from .steps import PlayedTape, read_notebook
from .table import BudgetLeft, NotebookCost


def cost(path: str | Path) -> NotebookCost:
    """What a notebook would cost: a row for each place that asks, with calls, and the cost at least, about and at most.

    Its file is read as text; nothing is run and nothing is sent, and no key is needed. In a kernel its variables and its
    defaults count, elsewhere those of the notebook's project. What cannot be known (a loop, a computed prompt, a variable that does not
    exist yet) is listed with its reason and never counted as nothing. What a tape answers costs nothing; at most counts second requests,
    as far as their share of the money goes. Raises ConfigurationError for a file that is no
    notebook.
    """
    path = Path(path).expanduser().absolute()
    cells = read_notebook(path)
    shell: Any = get_ipython()
    magics = None if shell is None else shell.magics_manager.registry.get("DeepSeekMagics")
    # Files that it names lie beside it, and so does its project; the kernel's own notebook runs where the kernel is.
    is_own = magics is not None and notebook_path(shell) == str(path)
    with contextlib.nullcontext() if is_own else contextlib.chdir(path.parent):
        here, settings = (session(), magics) if magics is not None else _of_project()
        variables: Mapping[str, Any] = {} if shell is None else shell.user_ns
        names = Names(variables)
        modules = [name for name, value in variables.items() if value is sys.modules.get(PACKAGE)]
        playing = deck.taped if deck.playing is not None else None
        tape = None if playing is None else PlayedTape(playing.name, playing.asks)
        situation = Situation(
            here, [cell.id for cell in cells], pocket=settings.pocket, look_ahead=settings.look_ahead, tape=tape
        )
        reckoning = Reckoning(situation, names, Reader(modules))
        for cell in cells:
            reckoning.cell(cell)
        budget = _budget(here, situation.session)
    return NotebookCost(
        path=path,
        cells=tuple(reckoning.rows),
        budget=budget,
        with_kernel=names.uses_kernel,
        look_ahead=situation.look_ahead,
    )


class _Defaults:
    """Takes a project's settings as the magics of a kernel would."""

    def __init__(self) -> None:
        self.budget: float | None = None
        self.pocket: float = DeepSeekMagics.pocket.default_value
        self.look_ahead: int = DeepSeekMagics.look_ahead.default_value

    @staticmethod
    def trait_names(**_metadata: Any) -> list[str]:
        """The settings that there are."""
        return list(DeepSeekMagics.class_trait_names(config=True))

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value if name not in DEFAULTS or value is None else DEFAULTS[name].check(value))


def _of_project() -> tuple[Session, _Defaults]:
    """A session with the project's defaults over this process's, and the settings that are the notebook's alone."""
    taken, made = _Defaults(), Session()
    take_project_defaults(taken)
    given = {name: value for name, value in vars(taken).items() if name in DEFAULTS and value is not None}
    made.journal = session().journal
    made.log.prices = session().log.prices
    made.defaults = session().defaults.replace(**given)
    return made, taken


def _budget(here: Session, then: Session) -> BudgetLeft | None:
    """What is left of the budget in force once the notebook's own settings hold."""
    options = then.in_force({})
    if (cap := options.get("budget")) is None:
        return None
    # The demo's play money has the cap to itself.
    place = in_order(options.get("endpoint"), options.get("base_url"))[0]
    currency = PLAY_MONEY if place.price_list == "demo" else CURRENCY
    return BudgetLeft(cap=Decimal(str(cap)), left=here.log.spending.left(cap, currency), currency=currency)
