"""What goes along with a prompt, as it is read in a real JupyterLab: the dry run before, the line below the answer after."""

from __future__ import annotations

import re
from collections.abc import Callable

from deepseek_magic.demo.server import DemoServer

from .conftest import Page

Open = Callable[..., Page]

SETUP = """\
%load_ext deepseek_magic
import pathlib
pathlib.Path("data.csv").write_text("day,sold\\n" + "".join(f"2026-01-{1 + n % 28:02d},{n * 7 % 90}\\n" for n in range(2000)))
token = "sk-test-1234" """
SHOWN = "sold = [3, 1, 4]\nprint('sold so far:', sum(sold))\nsold"
ASK = "%%deepseek --context 2 --file data.csv {}\nWhat could be wrong with the sum?"


def test_what_goes_along_is_listed_before_and_after(open_notebook: Open, demo: DemoServer) -> None:
    demo.pace, demo.fault = 0, None
    page = open_notebook([SETUP, SHOWN, ASK.format("--dry-run"), ASK.format("")])
    page.run(0)
    page.run(1)
    before = page.run(2)
    assert re.search(
        r"Would be sent along: In\[\d+\], .*Out\[\d+\] \(\d+ B\), data\.csv \(499 B of 27\.8 kB\); about", before
    )
    assert demo.requests == []
    after = page.run(3)
    assert re.search(r"Sent along: In\[\d+\], .*Out\[\d+\] \(\d+ B\), data\.csv \(499 B of 27\.8 kB\); about", after)
    assert "What looks like a key or a password was left out: 1× in In[" in after
    assert "sk-test-1234" not in str(demo.requests[-1].body)
    page.cell(3).scroll_into_view_if_needed()
    page.screenshot("context")
    page.dark()
    page.screenshot("context_dark")
