"""The network below httpx's transport: httpcore, as fast as a stream of tokens wants it."""
