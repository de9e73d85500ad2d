"""What a person sees: magics, completion, the live view.

Only this floor imports IPython and ipywidgets, and ipywidgets only when an answer is first drawn with it.
"""

from __future__ import annotations

from typing import Any


def load(shell: Any) -> None:
    """Register magics, input transformers and completion with an IPython shell."""
    from ..session import watched
    from ..session.confirming import hook
    from ..session.context.cells import NAMES
    from .context.printed import Printed
    from .cost.magic import CostMagics
    from .experiments.magics import ExperimentMagics
    from .labextension.names import NamesChannel
    from .lazy import add_matcher
    from .lessons.magics import LessonMagics
    from .magic.cells import CellTransformer, line_transformer
    from .magic.chats import ChatMagics
    from .magic.completion import words
    from .magic.defaults import take_project_defaults
    from .magic.demo import DemoMagics
    from .magic.fix import FixMagics
    from .magic.logs import Breaches, LogMagics
    from .magic.magics import DeepSeekMagics
    from .magic.past import variables
    from .magic.resume import ResumeMagics
    from .magic.service import ServiceMagics
    from .panel.magic import PanelMagics

    unload(shell)
    magics, demo = DeepSeekMagics(shell), DemoMagics(shell)
    take_project_defaults(magics)
    lessons = LessonMagics(shell)
    panels = PanelMagics(shell, magics, demo)
    shell.register_magics(magics, ChatMagics(shell), ServiceMagics(shell), demo, panels)
    shell.register_magics(FixMagics(shell, magics), LogMagics(shell), ResumeMagics(shell, magics))
    shell.register_magics(ExperimentMagics(shell, magics), CostMagics(shell), lessons)
    cells = CellTransformer(shell)
    printed = Printed(shell, lambda: magics.last_error.known().error)
    for begin in (
        cells.pre_run_cell,
        lessons.pre_run_cell,
        magics.background_answers.pre_run_cell,
        magics.turns.pre_run_cell,
        magics.ahead.pre_run_cell,
        printed.pre_run_cell,
    ):
        shell.events.register("pre_run_cell", begin)
    names = NamesChannel(shell, lambda: {*variables(shell, magics.last_error), *NAMES})
    for part in (magics.last_error, printed, magics.turns, magics.ahead, Breaches(), names, panels):
        shell.events.register("post_run_cell", part.post_run_cell)
    manager = shell.input_transformer_manager
    manager.cleanup_transforms.append(cells)
    manager.token_transformers.append(line_transformer(cells))

    def find(line: str) -> tuple[list[str], bool] | None:
        if any(
            name in line for name in ("deepseek_sweep", "deepseek_map", "deepseek_judge")
        ):  # here, because the extension loads this room
            from .experiments.words import experiment_words

            return experiment_words(line, shell.user_ns)
        return words(line, shell.user_ns)

    add_matcher(shell, find)
    watched.watch, watched.ran = lambda call: _view_of(call, magics), printed.ran
    hook.find = lambda *, wait_s, awaited: _confirmer(magics, wait_s=wait_s, awaited=awaited)
    magics.loaded()


def _confirmer(magics: Any, *, wait_s: float, awaited: bool) -> Any:
    """Whoever is asked about functions by Python's calls."""
    from .gate.gate import ConfirmGate

    return ConfirmGate(magics.shell, view=magics.view_name, awaited=awaited, wait_s=wait_s)


def _view_of(call: Any, magics: Any) -> Any:
    """The view of a sweep that a cell asks for in Python."""
    from .experiments.live import SweepView

    magics.mute_echo(call.sweep)  # the table is there already when the cell ends with the sweep
    return SweepView(call, magics.view_name, button=False, quiet=False)


def unload(shell: Any) -> None:
    """Take away what an earlier load has hooked in; IPython has no way to take away a magic."""
    from ..session import watched
    from ..session.confirming import hook as confirming

    watched.watch = watched.ran = confirming.find = None
    manager = shell.input_transformer_manager
    ours = tuple(
        f"{__name__}.{room}"
        for room in (
            "ahead.",
            "context.",
            "gate.",
            "labextension.",
            "lazy",
            "lessons.",
            "experiments.",
            "magic.",
            "panel.",
            "proposed.",
            "view.",
        )
    )
    lists = [manager.cleanup_transforms, manager.token_transformers, shell.Completer.custom_matchers]
    for hooks in (*lists, *shell.events.callbacks.values()):
        gone = [hook for hook in hooks if str(getattr(hook, "__module__", "")).startswith(ours)]
        hooks[:] = [hook for hook in hooks if hook not in gone]
        for hook in gone:
            getattr(getattr(hook, "__self__", None), "close", lambda: None)()
