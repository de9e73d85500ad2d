"""xAI's chat service with answers that are ready before they are asked for, and an Envoy in front of it.

    python -m tests.benchmarks.grpc_server

prints one line of JSON: the port that speaks gRPC, that of the Envoy, which speaks gRPC-Web, and the Envoy's process. It ends
when its input is closed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import grpc
from xai_sdk.proto import chat_pb2, sample_pb2

from deepseek_magic.demo.grpcweb.envoy import Envoy
from deepseek_magic.demo.grpcweb.servicer import Daemons

from .wire import BLOCK, Ask, token

_SAME = {
    "id": "930c60df-bf64-41c9-a88e-3ec75f81e00e",
    "model": "deepseek-flash",
    "system_fingerprint": "fp_8802369eaa_prod0623_fp8_kvcache",
}


def _chunk(text: str, **output: Any) -> bytes:
    """A chunk as long as xAI's are."""
    chunk = chat_pb2.GetChatCompletionChunk(**_SAME)
    chunk.created.seconds = 1763800000
    made = chunk.outputs.add(**output)
    made.delta.content, made.delta.role = text, chat_pb2.ROLE_ASSISTANT
    data: bytes = chunk.SerializeToString()
    return data


def main() -> None:
    """Serve until the input ends."""
    block = [_chunk(token(Ask(chunks=BLOCK), index)) for index in range(BLOCK)]
    ending = _chunk("", finish_reason=sample_pb2.REASON_STOP)

    def answer(request: bytes, context: Any) -> Iterator[bytes]:
        ask, began_s = Ask.found_in(request), time.monotonic()
        for index in range(ask.chunks):
            if ask.per_s and (wait_s := began_s + index / ask.per_s - time.monotonic()) > 0:
                time.sleep(wait_s)
            yield block[index % BLOCK]
        yield ending

    # The messages are bytes already: what is measured is not this server.
    method = grpc.unary_stream_rpc_method_handler(answer)
    server = grpc.server(Daemons(), options=[("grpc.so_reuseport", 0)])
    handlers = {"GetCompletionChunk": method}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("xai_api.Chat", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    envoy = Envoy(behind=port).start()
    try:
        print(json.dumps({"grpc": port, "grpc_web": envoy.port, "envoy": envoy.pid}), flush=True)
        sys.stdin.read()
    finally:
        envoy.stop()
        server.stop(0).wait()


if __name__ == "__main__":
    main()
