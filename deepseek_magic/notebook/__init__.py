"""What a person sees: magics, completion, the live view.

Only this floor imports IPython and ipywidgets, and ipywidgets only when an answer is first drawn with it.
"""

from __future__ import annotations

from typing import Any

__all__ = ["load", "unload"]


def load(shell: Any) -> None:
    """Register magics, input transformers and completion with an IPython shell."""
    from .magic.cells import CellTransformer, line_transformer
    from .magic.chats import ChatMagics
    from .magic.completion import add_matcher
    from .magic.defaults import take_project_defaults
    from .magic.demo import DemoMagics
    from .magic.fix import FixMagics
    from .magic.logs import Breaches, LogMagics
    from .magic.magics import DeepSeekMagics
    from .magic.resume import ResumeMagics
    from .magic.service import ServiceMagics
    from .panel.magic import PanelMagics

    unload(shell)
    magics, demo = DeepSeekMagics(shell), DemoMagics(shell)
    take_project_defaults(magics)
    shell.register_magics(magics, ChatMagics(shell), ServiceMagics(shell), demo, PanelMagics(shell, magics, demo))
    shell.register_magics(FixMagics(shell, magics), LogMagics(shell), ResumeMagics(shell, magics))
    cells = CellTransformer(shell)
    shell.events.register("pre_run_cell", cells.pre_run_cell)
    shell.events.register("pre_run_cell", magics.background_answers.pre_run_cell)
    shell.events.register("post_run_cell", magics.last_error.post_run_cell)
    shell.events.register("pre_run_cell", magics.turns.pre_run_cell)
    shell.events.register("post_run_cell", magics.turns.post_run_cell)
    shell.events.register("post_run_cell", Breaches().post_run_cell)
    manager = shell.input_transformer_manager
    manager.cleanup_transforms.append(cells)
    manager.token_transformers.append(line_transformer(cells))
    add_matcher(shell)
    magics.loaded()


def unload(shell: Any) -> None:
    """Take away the transformers of an earlier load; IPython has no way to take away a magic."""
    from .magic.cells import CellTransformer, DeepSeekLine
    from .magic.completion import remove_matcher
    from .magic.logs import Breaches
    from .magic.past import LastError
    from .magic.turns import Turns
    from .view.background import Background

    manager = shell.input_transformer_manager
    for transform in [t for t in manager.cleanup_transforms if isinstance(t, CellTransformer)]:
        manager.cleanup_transforms.remove(transform)
        shell.events.unregister("pre_run_cell", transform.pre_run_cell)
    watching = {"pre_run_cell": (Background, Turns), "post_run_cell": (LastError, Turns, Breaches)}
    for event, kind in ((event, kind) for event, kinds in watching.items() for kind in kinds):
        for callback in [c for c in shell.events.callbacks[event] if _belongs_to(c, kind)]:
            shell.events.unregister(event, callback)
    for line in [t for t in manager.token_transformers if isinstance(t, type) and issubclass(t, DeepSeekLine)]:
        manager.token_transformers.remove(line)
    remove_matcher(shell)


def _belongs_to(callback: Any, kind: type) -> bool:
    return isinstance(getattr(callback, "__self__", None), kind)
