"""The network below httpx's client: httpcore, as fast as a stream of tokens wants it."""
