"""The network below httpx's client: httpcore, as fast as a stream of tokens wants it.

* ``exchange``     one exchange: request, response, body
* ``connections``  kept connections, proxies, certificates
* ``sockets``      httpcore's sockets on bare asyncio
* ``framing``      heads and chunks, pure
* ``failures``     what the libraries raise → TransportError
"""
