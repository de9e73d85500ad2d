"""What JupyterLab loads is small and as it is named, and its kernel's side speaks to who has asked; the rest is seen in the browser."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from typing import Any, Final

import deepseek_magic
from deepseek_magic.notebook import labextension
from deepseek_magic.notebook.labextension.names import TARGET

from .conftest import Kernel, Ran, newer_only

EXTENSION: Final = labextension.folder() / "deepseek-magic"
FILES: Final = sorted((EXTENSION / "static").iterdir())
LARGEST_BYTES: Final = 50_000
HAS_COMM: Final = find_spec("comm") is not None
"""ipykernel has it from 6.18 on, and so every kernel that JupyterLab 4 starts."""


def test_it_is_small() -> None:
    everything = [path for path in EXTENSION.rglob("*") if path.is_file()]
    assert 0 < sum(path.stat().st_size for path in everything) <= LARGEST_BYTES


def test_its_address_changes_with_its_contents_so_that_no_browser_keeps_an_old_one() -> None:
    contents = hashlib.sha256(b"".join(path.read_bytes() for path in FILES)).hexdigest()[:8]
    package = json.loads((EXTENSION / "package.json").read_text("utf-8"))
    assert package["jupyterlab"]["_build"]["load"] == f"static/remoteEntry.js?v={contents}", (
        "write it into package.json"
    )
    assert package["version"] == deepseek_magic.__version__


# the kernel's side


def comms(kernel: Kernel) -> list[str]:
    """The channels that a page would find."""
    sent = kernel.client.comm_info(TARGET)
    while (reply := kernel.client.get_shell_msg(timeout=30))["parent_header"]["msg_id"] != sent:
        pass
    return list(reply["content"]["comms"])


def ask(kernel: Kernel, comm: str) -> dict[str, Any]:
    """What the kernel answers to a page that speaks on the channel."""
    message = kernel.client.session.msg("comm_msg", {"comm_id": comm, "data": {}})
    kernel.client.shell_channel.send(message)
    while (heard := kernel.client.get_iopub_msg(timeout=30))["msg_type"] != "comm_msg":
        pass
    return dict(heard["content"]["data"])


def told(ran: Ran) -> list[set[str]]:
    """The names in each message of the channel."""
    return [set(content["data"]["names"]) for content in ran.of("comm_msg")]


@newer_only("it has the package comm", twin="test_a_kernel_without_the_package_comm_has_no_channel", has=HAS_COMM)
def test_a_page_that_asks_is_told_the_names_and_then_what_changes_them(kernel: Kernel) -> None:
    assert told(kernel.run("rows = 344")) == []  # nobody has asked
    (comm,) = comms(kernel)
    first = ask(kernel, comm)
    assert first["language"] == "en"
    assert {"rows", "In", "Out", "Err"} <= set(first["names"])
    assert not {"_", "__", "_i", "_i1", "_ih"} & set(first["names"])
    assert told(kernel.run("rows = 345; rows")) == []  # the same names
    (names,) = told(kernel.run("dataset = 'penguins'; del rows"))
    assert "dataset" in names
    assert "rows" not in names
    spoken = kernel.run("%config DeepSeekMagics.language = 'zh'").of("comm_msg")
    assert [content["data"]["language"] for content in spoken] == ["zh"]
    assert kernel.run("1").reply["execution_count"] == 6  # the page's questions were no cells


@newer_only("it has the package comm", twin="test_a_kernel_without_the_package_comm_has_no_channel", has=HAS_COMM)
def test_there_is_one_channel_while_the_extension_is_loaded_and_none_before_and_after(kernel: Kernel) -> None:
    before = comms(kernel)
    kernel.run("%reload_ext deepseek_magic")
    (comm,) = comms(kernel)
    assert before != [comm]
    kernel.run("%unload_ext deepseek_magic")
    assert comms(kernel) == []


def test_a_kernel_without_the_package_comm_has_no_channel(kernel: Kernel) -> None:
    kernel.run("import sys; sys.modules['comm'] = None")
    assert kernel.run("%reload_ext deepseek_magic").reply["status"] == "ok"
    assert comms(kernel) == []
    assert told(kernel.run("rows = 344")) == []
