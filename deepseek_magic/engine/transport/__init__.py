"""HTTP: the only importer of an HTTP library (httpcore, the floor of httpx), and a seam of one method.

* ``calls``        what goes in and what comes out, whoever carries it
* ``exchange``     one exchange: request, response, body
* ``connections``  kept connections, proxies, certificates
* ``network``      httpcore's sockets on bare asyncio
* ``framing``      heads and chunks, pure
* ``failures``     what the libraries raise → TransportError
"""

from .calls import DRAIN_S, HTTPAnswer, HTTPCall, Transport
from .exchange import HTTPTransport

__all__ = ["DRAIN_S", "HTTPAnswer", "HTTPCall", "HTTPTransport", "HTTPXTransport", "Transport"]

HTTPXTransport = HTTPTransport
"""The name it had as long as it stood on httpx."""
