"""What JupyterLab and Notebook load beside the kernel, so that prompts look like prompts; and what it is told by the kernel.

``deepseek-magic/`` is the extension itself: ready to run, in the form in which an installed wheel puts it below
``share/jupyter/labextensions``. Nothing in Python imports it.
"""

from __future__ import annotations

from pathlib import Path


def folder() -> Path:
    """The folder to name to ``extra_labextensions_path``, where the package is not installed from a wheel."""
    return Path(__file__).parent
