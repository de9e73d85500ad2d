"""Record the tapes beside the notebooks again: ``python -m tests.lessons.shipped``.

Each notebook that plays a tape is run with the demo, which does wrong what the metadata of a cell says, and records.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import nbformat

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.hosts.endpoints import DEMO_VARIABLE

from .kernel import play
from .recording import ROOT, environment

NOTEBOOKS: Final = ROOT / "notebooks"
PRICE: Final = "recorded_cost"
PLAYS: Final = re.compile(r"%deepseek_replay (\S+\.tape)")


def lessons() -> Iterator[tuple[Path, str]]:
    """The notebooks that play a tape, and its name."""
    for path in sorted(NOTEBOOKS.rglob("*.ipynb")):
        if found := PLAYS.search(path.read_text("utf-8")):
            yield path, found[1]


def record(path: Path, name: str, folder: Path) -> Path:
    """Run the notebook at ``path`` in ``folder`` as it is recorded; the tape."""
    cells = [
        cell
        for cell in nbformat.read(path, as_version=4).cells
        # What fails on purpose asks for what is not on the tape; what a recording cost is known only when it is played.
        if cell.cell_type == "code"
        and "raises-exception" not in cell.metadata.get("tags", ())
        and PRICE not in cell.source
    ]
    with DemoServer() as server:

        def before(place: int) -> None:
            server.fault = cells[place].metadata.get("fault", server.fault)

        sources = [PLAYS.sub(rf"%deepseek_record {name}", cell.source) for cell in cells]
        play(sources, folder, before, environment=environment(folder, **{DEMO_VARIABLE: server.base_url}))
    return folder / name


if __name__ == "__main__":
    for notebook, tape in lessons():
        with tempfile.TemporaryDirectory() as made:
            shutil.copyfile(record(notebook, tape, Path(made)), notebook.parent / tape)
            print(f"{notebook.relative_to(NOTEBOOKS)}: {(notebook.parent / tape).stat().st_size:,} bytes")
