"""What closed widgets leave in the page is swept out by a few lines of front-end code, see ``broom.js``.

JupyterLab 4.6 connects every widget's channel to the kernel's status and never disconnects it, so that a model outlives
its widget; ipywidgets' views listen to their model and never cease. Together they keep every answer that was ever on the
screen, node by node. Where the front end cannot run the code nothing is seen of it, and the page keeps them.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from IPython.core.getipython import get_ipython

from ..frontend import in_vscode


def sweep(widgets: Sequence[Any]) -> None:
    """Tell the page that these are about to be closed."""
    # A Jupyter server started the kernel, so its page can load the code. VS Code, which uses such kernels too, cannot, and
    # lets the cell wait for it for ever.
    if "JPY_SESSION_NAME" in os.environ and not in_vscode(get_ipython()) and (broom := _broom()).comm is not None:
        broom.send({"closed": [widget.model_id for widget in widgets]})


@functools.cache
def _broom() -> Any:
    import anywidget

    class Broom(anywidget.AnyWidget):
        _esm = Path(__file__).with_name("broom.js")

    return Broom()
