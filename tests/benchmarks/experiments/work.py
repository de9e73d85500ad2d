"""What a peer is given: so many questions, each with an answer that is known beforehand, asked so many at once.

Read in the environments of other programs, too, so nothing is imported but Python's own and the wire's format.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..wire import Ask, in_words

AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Trials from the question with the number ``first`` on.

    ``chunks``: of each answer of the benchmark's server; 0 asks the demo for an echo. ``folder`` is the peer's own, where it
    keeps what outlives its process. ``mortal``: the process may be killed and the work go on in another one; ``again``: this
    is that other one.
    """

    base_url: str
    folder: str
    trials: int
    first: int = 0
    chunks: int = 0
    at_once: int = AT_ONCE
    mortal: bool = False
    again: bool = False

    @property
    def questions(self) -> list[str]:
        """One a trial, all different."""
        asked = Ask(chunks=self.chunks).prompt if self.chunks else "echo item"
        return [f"{asked} {number}" for number in range(self.first, self.first + self.trials)]

    @property
    def answers(self) -> list[str]:
        """What the server says to each."""
        if self.chunks:
            return [in_words(Ask(chunks=self.chunks))] * self.trials
        return [f"```text\n{question}\n```" for question in self.questions]
