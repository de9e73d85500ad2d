"""Where this process has its engine: in a thread, over sockets; or in a web page, whose kernel (JupyterLite) has neither.

The one place that asks. Everything else uses what it is given here.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from .loop import Engine
from .tape.deck import Switched, deck

if TYPE_CHECKING:
    from .network.loopback import Loopback

IN_PAGE: Final = sys.platform == "emscripten"


def _engine() -> Engine:
    if not IN_PAGE:
        return Engine()
    from .page.engine import PageEngine

    return PageEngine()


def _loopback() -> Loopback | None:
    if not IN_PAGE:
        return None
    from .network.loopback import Loopback

    return Loopback()


def new_transport(*, keep_warm_s: float | None = None) -> Switched:
    """What carries the calls of a client that was given nothing else: the network, or the tape that plays."""
    if loopback is None:
        from .transport import HTTPXTransport

        return Switched(HTTPXTransport(keep_warm_s=keep_warm_s), deck)
    from .page.fetching import FetchTransport

    return Switched(FetchTransport(loopback), deck)


engine: Final = _engine()
"""The engine of this process."""
loopback: Final = _loopback()
"""The network inside a web page, on which its demo server listens; None where there are sockets."""
