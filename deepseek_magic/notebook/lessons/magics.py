"""``%deepseek_record`` and ``%deepseek_replay``: a lesson on tape."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

from ...engine.tape.deck import ELSE, deck
from ...text.messages import Message, localized
from ..frontend import view_for
from ..magic.flags import arguments
from ..magic.manuals import helped
from ..view.settled import as_output

OFF = "off"


@magics_class
class LessonMagics(Magics):
    """Puts a tape in and takes it out."""

    shell: Any

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        deck.cell = lambda: f"In [{len(shell.user_ns['In']) - 1}]"

    def pre_run_cell(self, _info: Any) -> None:
        """IPython's hook: a cell that is run again is answered again."""
        deck.new_cell()

    @magic_arguments()
    @argument("file", nargs="?", metavar="FILE", help="the tape, beside the notebook; off ends the recording")
    @argument("--overwrite", action="store_true", help="record over a file that is there")
    @line_magic
    def deepseek_record(self, line: str) -> None:
        """Record on a tape what the network brings to every question from now on, for %deepseek_replay.

        A key, the name of this machine or of your home folder is not in it; your prompts and the answers are. Without FILE it
        says what is recorded. In Python: with ds.record(file).
        """
        if helped(self, "deepseek_record", line):
            return
        from ...session.tapes import record

        typed = arguments(self.deepseek_record, line)
        if typed.file == OFF or typed.file is None:
            _tell(self._of_recording(ends=typed.file == OFF))
            return
        recording = record(typed.file, overwrite=typed.overwrite)
        said = Message("What comes is recorded on {name}; %deepseek_record off ends it.", name=recording.path.name)
        _tell(said)

    def _of_recording(self, *, ends: bool) -> Message:
        from ...session.tapes import recording

        running = recording()
        if running is None:
            return Message("Nothing is being recorded.")
        said = running.said
        if ends:
            running.stop()
        return said

    @magic_arguments()
    @argument("file", nargs="?", metavar="FILE", help="the tape, beside the notebook; off asks the network again")
    @argument(
        "--pace",
        type=float,
        metavar="X",
        help="a factor on every wait: 1 as it was recorded, 0 at once (default: 1, and 0 in a run that nobody watches)",
    )
    @argument(
        "--else",
        dest="otherwise",
        choices=ELSE,
        default="refuse",
        help="what is not on the tape: refuse it, or ask the network and record the answer, too",
    )
    @line_magic
    def deepseek_replay(self, line: str) -> None:
        """Answer every question from a tape, without key, network or cost, as the answers came when it was recorded.

        A cell that is run again is answered again. A question that was changed is refused with the nearest one on the tape
        and what differs. Without FILE it says what is played. In Python: with ds.replay(file).
        """
        if helped(self, "deepseek_replay", line):
            return
        from ...session.tapes import replay

        typed = arguments(self.deepseek_replay, line)
        if typed.file == OFF or typed.file is None:
            playing = deck.playing
            if typed.file == OFF and playing is not None:
                deck.stop()
                _tell(Message("The tape {name} answers no more.", name=playing.name))
            else:
                _tell(Message("No tape is playing.") if playing is None else playing.said)
            return
        if deck.playing is not None:  # the cell is run again, or another tape is put in
            deck.stop()
        pace = typed.pace
        if pace is None:
            pace = 0.0 if view_for(self.shell) == "silent" else 1.0
        played = replay(typed.file, pace=pace, otherwise=typed.otherwise)
        for notice in played.notices:
            _tell(notice)
        said = Message(
            "The tape {name} answers: {count} requests, no key and no network. %deepseek_replay off ends it.",
            name=played.name,
            count=played.count,
        )
        _tell(said)


def _tell(said: Message) -> None:
    display(as_output(localized(said)), raw=True)
