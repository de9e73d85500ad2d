"""``%deepseek_panel``, and the panels of a kernel: a cell that is run again gets a new one in the place of its old one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Unpack

from IPython.core.getipython import get_ipython
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.display import display

from ...protocol.errors import ConfigurationError
from ...protocol.options import CallOptions
from ...session import session
from ...text.messages import Message
from ..frontend import cell_id, no_panel, notebook_path
from ..magic.demo import DemoMagics
from ..magic.flags import read_line
from ..magic.magics import DeepSeekMagics
from ..magic.manuals import helped

if TYPE_CHECKING:
    from .panel import Panel

CLASS = "--class"
_OF_CELLS: Final = frozenset(("tool", "tools", "confirm", "confirm_wait", "run"))


@magics_class
class PanelMagics(Magics):
    """Shows panels."""

    shell: Any

    def __init__(self, shell: Any, magics: DeepSeekMagics, demo: DemoMagics) -> None:
        super().__init__(shell)
        self._magics = magics
        self._demo = demo
        self._panels: dict[str, Panel] = {}

    @line_magic
    def deepseek_panel(self, line: str) -> None:
        """Show a panel: prompt, conversation, gauges, settings, failure lab, history.

        ::

          %deepseek_panel [flags]      the flags of %%deepseek set its controls
          %deepseek_panel --class      for a projector: the failure lab on top, the state large, no settings
        """
        if helped(self, "deepseek_panel", line):
            return
        words = line.split()
        for_class = CLASS in words
        typed = read_line(" ".join(word for word in words if word != CLASS) if for_class else line)
        if typed.rest:
            said = Message('"{text}" was not understood: %deepseek_panel takes flags only.', text=typed.rest[:40])
            raise ConfigurationError(said, hint=Message("The prompt is typed into the panel."))
        display(self.make(for_class=for_class, **typed.options))

    def make(self, *, for_class: bool = False, **options: Any) -> Panel:
        """A panel whose controls are set to ``options``. Raises ConfigurationError where no widget can be shown."""
        if (why := no_panel(self.shell)) is not None:
            raise ConfigurationError(why, hint=Message("Use %%deepseek here, or open JupyterLab."))
        if needless := sorted(_OF_CELLS.intersection(options)):
            said = Message("The panel asks nobody before something is run, so it takes no {name}.", name=needless[0])
            raise ConfigurationError(said, hint=Message("Use it in a cell, with %%deepseek."))
        from .panel import Panel

        session().chats.notebook = notebook_path(self.shell)
        made = Panel(self._magics, self._demo, for_class=for_class, **options)
        place = cell_id(self.shell) or f"panel {len(self._panels)}"
        if (before := self._panels.get(place)) is not None:
            before.close()
        self._panels[place] = made
        return made

    def post_run_cell(self, _result: Any) -> None:
        """IPython's event: a cell may have changed what panels show."""
        for made in self._panels.values():
            made.cell_ended()


def panel(*, for_class: bool = False, endpoint: str | None = None, **options: Unpack[CallOptions]) -> Panel:
    """``ds.panel()``: a panel as the result of a cell; ``options`` are the first settings of its controls. ``for_class`` shows
    it as a class should see it: the failure lab on top, the state large, no settings.

    Raises ConfigurationError outside a notebook.
    """
    shell: Any = get_ipython()
    if shell is None:
        raise ConfigurationError(Message("A panel needs a notebook."), hint=Message("Use ds.ask() in a script."))
    registry = shell.magics_manager.registry
    if "PanelMagics" not in registry:
        shell.extension_manager.load_extension("deepseek_magic")
    made: Panel = registry["PanelMagics"].make(for_class=for_class, endpoint=endpoint, **options)
    return made
