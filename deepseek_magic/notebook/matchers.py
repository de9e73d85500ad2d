"""How IPython is asked to complete: one matcher, in the form that its version takes. Imports nothing until it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Find = Callable[[str], tuple[list[str], bool] | None]


def add_matcher(shell: Any, find: Find) -> None:
    """Have ``shell`` ask ``find`` on Tab, in place of what was added before.

    ``find`` takes the line up to the cursor. It returns the words that its last word can become and whether these are
    all, so that file names and variables are left out; or None where it has nothing to say.
    """
    remove_matcher(shell)
    shell.Completer.custom_matchers.append(_of_version_1(shell, find) if _is_old() else _of_version_2(find))


def remove_matcher(shell: Any) -> None:
    """Take it away again."""
    matchers = shell.Completer.custom_matchers
    matchers[:] = [m for m in matchers if getattr(m, "__module__", "") != __name__]


def _is_old() -> bool:
    import IPython

    return IPython.version_info[:2] < (8, 6)


def _of_version_1(shell: Any, find: Find) -> Any:
    """For IPython 7, which is Colab's: it is called with the last word, and others add theirs."""

    def matcher(_word: str) -> list[str]:
        words, _ = find(shell.Completer.text_until_cursor) or ([], False)
        return words

    return matcher


def _of_version_2(find: Find) -> Any:
    from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

    @context_matcher()
    def matcher(context: CompletionContext) -> SimpleMatcherResult:
        words, alone = find(context.text_until_cursor) or ([], False)
        completions = [SimpleCompletion(text=word, type="param" if alone else None) for word in words]
        return SimpleMatcherResult(completions=completions, suppress=alone, ordered=alone)

    return matcher
