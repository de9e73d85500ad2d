"""Asking by ``input()``: in a terminal, and in a notebook whose cell cannot hear a click."""

from __future__ import annotations

import _thread
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

from ...text.characters import printable
from .question import ToConfirm


class Typed:
    """A person at a keyboard. ``there`` is whether one is; without it a terminal is looked for. After ``wait_s`` seconds a
    question is given up, which needs the main thread of a kernel, whose ``input()`` looks around; None waits for ever.
    ``interruptible``: within it an interrupt reaches what blocks, where it would not without."""

    def __init__(
        self,
        *,
        there: bool | None = None,
        wait_s: float | None = None,
        interruptible: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self._there = there
        self._wait_s = wait_s
        self._interruptible = interruptible

    def ask(self, question: ToConfirm) -> str:
        """Print the question, and ask until one of its letters or words is typed."""
        there = _in_terminal() if self._there is None else self._there
        if not there:
            raise question.unheard()
        if self._wait_s is not None and threading.current_thread() is not threading.main_thread():
            raise question.aside()  # its wait cannot be ended
        if self._there is None:
            _forget_typed()
        print(question.said.localized())
        if question.detail:
            print("  " + printable(question.detail).replace("\n", "\n  "))
        offered = "  ".join(f"[{choice.key}] {choice.label.localized()}" for choice in question.choices)
        while True:
            try:
                with self._interruptible(), _at_most(self._wait_s) as late:
                    typed = input(f"{offered}: ").strip().lower()
            except KeyboardInterrupt:
                if not late.is_set():
                    raise
                assert self._wait_s is not None
                raise question.unanswered(self._wait_s) from None
            except (EOFError, NotImplementedError):  # a kernel whose front end takes no input says the second
                raise question.unheard() from None
            for choice in question.choices:
                if typed in (choice.key, choice.name, choice.label.localized().lower()):
                    return choice.name

    async def aask(self, question: ToConfirm) -> str:
        """The same: whoever types keeps the loop waiting."""
        return self.ask(question)

    def interruptible(self) -> contextlib.AbstractContextManager[None]:
        """As it was given."""
        return self._interruptible()


def _in_terminal() -> bool:
    try:
        return sys.stdin is not None and sys.stdin.isatty()
    except ValueError:  # it was closed
        return False


def _forget_typed() -> None:
    """Throw away what was typed into the terminal before now: it answers nothing that nobody has seen."""
    if sys.platform == "win32":
        import msvcrt

        while msvcrt.kbhit():
            msvcrt.getwch()
    else:
        import termios

        with contextlib.suppress(termios.error, OSError):
            termios.tcflush(sys.stdin, termios.TCIFLUSH)


@contextlib.contextmanager
def _at_most(wait_s: float | None) -> Iterator[threading.Event]:
    """Interrupt the main thread, which this is, after so long; the event says that this was why it was interrupted."""
    late, over, lock = threading.Event(), threading.Event(), threading.Lock()
    if wait_s is None:
        yield late
        return

    def interrupt() -> None:
        with lock:
            if not over.is_set():
                late.set()
                _thread.interrupt_main()

    timer = threading.Timer(wait_s, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
        with lock:
            over.set()
    while late.is_set():  # the interrupt was sent in the last moment, and is on its way
        time.sleep(0.01)
