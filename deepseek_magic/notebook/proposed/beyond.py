"""What a cell hands to the shell of the system or to magics, as IPython itself reads it.

In a notebook a line is not always Python: ``!rm x``, ``%pip install y`` and ``%%bash`` look like little and do a lot, and so
does a first word that IPython takes for a magic. Whoever is asked whether a cell may run is told of each.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from typing import Any, Final

from ...text.characters import visible
from ...text.messages import Message

MAX_COMMAND_CHARS: Final = 120
_SHELL: Final = frozenset(("system", "system_raw", "system_piped", "getoutput", "getoutput_pexpect"))
_SHELL_MAGICS: Final = frozenset(("system", "sx", "!", "!!"))
_MAGICS: Final = frozenset(("run_line_magic", "run_cell_magic"))


def beyond_python(code: str, shell: Any) -> Iterator[Message]:
    """A sentence for each shell command and each magic in ``code``; or one for code that cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what runs later, if at all
            tree = ast.parse(shell.transform_cell(code))
    except SyntaxError as error:
        why = visible(error.msg or type(error).__name__)
        yield Message("It is not valid Python: {why}.", why=why)
        return
    except (ValueError, RecursionError, MemoryError) as error:
        yield Message("It is not valid Python: {why}.", why=visible(str(error)) or type(error).__name__)
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_shell(node.func.value):
            yield from _said(node.func.attr, [_constant(each) for each in node.args], shell)


def _said(method: str, given: list[str], shell: Any) -> Iterator[Message]:
    name, line, *body = [*given, "", ""]
    if method in _SHELL or (method in _MAGICS and name in _SHELL_MAGICS):
        yield Message("It runs a shell command: {command}", command=_cut(name if method in _SHELL else line))
    elif method == "run_line_magic":
        yield Message("It uses a magic: {command}", command=_cut(f"%{name} {line}".rstrip()))
    elif method == "run_cell_magic":
        yield Message("All of it is given to a magic: {command}", command=_cut(f"%%{name} {line}".rstrip()))
        yield from beyond_python(body[0], shell) if body[0].lstrip().startswith(("!", "%")) else ()


def _is_shell(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "get_ipython"


def _constant(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ast.unparse(node)


def _cut(command: str) -> str:
    shown = visible(command).replace("\n", " ")
    return shown if len(shown) <= MAX_COMMAND_CHARS else f"{shown[: MAX_COMMAND_CHARS - 1]}…"
