"""The tour's notebooks: where their originals are, a copy to work on, and a run without a front end that is judged.

An answer is good when it is there as Markdown; a cell that is marked as failing on purpose must fail with a sentence of
this package, not with an accident.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from traitlets.config import Config

from ..protocol import errors
from ..protocol.errors import ConfigurationError
from ..text.language import Language, language
from ..text.messages import Message, say

TOUR: Final = "01_first_steps.ipynb"
_TOURS: Final[dict[Language, str]] = {"en": TOUR, "zh": f"zh/{TOUR}"}
CELL_TIMEOUT_S: Final = 120
"""A cell of the tour that takes longer hangs; the slowest one takes seconds."""

_SHOWN_CHARS: Final = 60
_ASKS: Final = re.compile(r"^%%?deepseek(_resume|_sweep|_judge)?\b(?!.*--quiet)", re.MULTILINE)
"""A cell that has an answer to show."""


def import_extra(module: str, extra: str = "demo") -> Any:
    """A module of an extra. Raises ConfigurationError with the way to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        said = Message("The demo needs {name}, which is not installed.", name=module.partition(".")[0])
        raise ConfigurationError(
            said, hint=Message("pip install 'deepseek-magic[{extra}]' brings it.", extra=extra)
        ) from error


def of_reader() -> str:
    """The tour in the reader's language."""
    return _TOURS[language()]


def originals() -> Path:
    """The folder of the originals: inside an installed package, or beside the package in a checkout."""
    package = Path(__file__).parents[1]
    for folder in (package / "demo" / "notebooks", package.parent / "notebooks"):
        if (folder / TOUR).is_file():
            return folder
    said = Message("The tour is not part of this installation.")
    raise ConfigurationError(said, hint=Message("Install deepseek-magic again."))


def copy_to(folder: Path) -> Path:
    """Put the notebooks into ``folder``, made if missing. What is there already stays: it may have been worked on."""
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        home = originals()
        for original in sorted([*home.rglob("*.ipynb"), *home.rglob("*.tape")]):
            if not (copy := folder / original.relative_to(home)).exists():
                copy.parent.mkdir(exist_ok=True)
                shutil.copyfile(original, copy)
    except OSError as error:
        said = Message("The tour cannot be written to {folder}: {error}.", folder=folder, error=error.strerror)
        raise ConfigurationError(said, hint=Message("Name another place with --folder.")) from error
    return folder


def _by_socket_files(folder: str) -> Config:
    """How to speak to the kernel: by files, since a free TCP port may be another's by the time the kernel binds it."""
    return Config(KernelManager={"transport": "ipc", "ip": f"{folder}/k"}) if os.name == "posix" else Config()


def execute(folder: Path, name: str = TOUR) -> bool:
    """Run the original of notebook ``name`` in ``folder``, print a line for each answer, write the executed notebook.

    True when every answer is there and nothing failed that should not.
    """
    nbclient, nbformat = import_extra("nbclient"), import_extra("nbformat")
    notebook = nbformat.read(originals() / name, as_version=4)
    tape = (originals() / name).with_suffix(".tape")
    if tape.exists():
        shutil.copy(tape, folder)
    good: list[bool] = []

    def tell(cell: Any, cell_index: int, **_: Any) -> None:
        judged = _judge(cell) if cell.cell_type == "code" else None
        if judged is not None:
            good.append(judged[0])
            asked = " / ".join(cell.source.splitlines())[:_SHOWN_CHARS]
            print(f"{_mark(judged[0])}  {asked:{_SHOWN_CHARS}}  {judged[1]}", flush=True)

    sockets = tempfile.TemporaryDirectory(prefix="ds")
    client = nbclient.NotebookClient(
        notebook,
        config=_by_socket_files(sockets.name),
        timeout=CELL_TIMEOUT_S,
        allow_errors=True,  # each cell is judged on its own
        resources={"metadata": {"path": str(folder)}},
        # Each cell is judged by what it left; what the kernel says of its own, most of all when it is shut down in the
        # middle of a message, is not the tour's.
        extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
        on_cell_executed=tell,
    )
    finished = False
    try:
        client.execute()
        finished = True
    except (nbclient.exceptions.CellTimeoutError, nbclient.exceptions.DeadKernelError) as error:
        print(f"{_mark(False)}  {str(error).strip().splitlines()[0]}")
    except AssertionError:
        # nbclient answers Ctrl-C itself: it ends the kernel, and then trips over its absence; asyncio would show the
        # traceback of a task that did so unseen.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        raise KeyboardInterrupt from None
    finally:
        sockets.cleanup()
        written = folder / Path(name).with_suffix(".executed.ipynb").name
        nbformat.write(notebook, written)
    said = Message("{count} of {all} answers are as they should be. Written: {path}")
    print(said.filled(count=sum(good), all=len(good), path=written).localized())
    return finished and bool(good) and all(good)


def _mark(good: bool) -> str:
    return f"{say('ok') if good else say('BAD'):3}"


def _sentence(error: Any) -> str:
    # An error of ours has no frames: its traceback is its sentence, in the reader's language.
    return str(error.traceback[0] if len(error.traceback) == 1 else f"{error.ename}: {error.evalue}")


def _judge(cell: Any) -> tuple[bool, str] | None:
    """Whether a cell gave what it should, and a few words on that; None for one that asks nothing and did not fail."""
    error = next((_sentence(out) for out in cell.outputs if out.output_type == "error"), "")
    asks = _ASKS.search(cell.source) is not None
    if "raises-exception" in cell.metadata.get("tags", ()):
        ours = bool(error) if not asks else hasattr(errors, error.partition(":")[0])
        return ours, say(
            "fails, as it should: {error}" if ours else "should fail with a sentence of ours: {error}", error=error
        )
    if error:
        return False, error
    if not asks:
        return None
    text = "".join(out["data"].get("text/markdown", "") for out in cell.outputs if "data" in out)
    if not text.strip():
        return False, say("no answer")
    return True, say("{count} characters of Markdown", count=len(text))
