"""Two servers that nobody wants: one says hostile things wherever a server may say something, one only counts who comes."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any


class HostileServer:
    """An endpoint whose every word is hostile. The prompt chooses the word: a name in ``texts``; ``error NAME`` refuses."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        handler = type("Handler", (_Hostile,), {"texts": texts})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> HostileServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Hostile(http.server.BaseHTTPRequestHandler):
    texts: Mapping[str, str]

    def do_GET(self) -> None:
        if self.path.endswith("/models"):
            self._send({"data": [{"id": text, "object": "model"} for text in self.texts.values()]})
        else:
            money = dict.fromkeys(("currency", "total_balance", "granted_balance", "topped_up_balance"), self._all)
            self._send({"is_available": True, "balance_infos": [money]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["messages"][-1]["content"]
        name = asked.removeprefix("error ")
        text = self.texts[name]
        if name != asked:
            error = {"message": text, "type": text, "code": text, "param": text}
            self._send({"error": error}, HTTPStatus.BAD_REQUEST)
            return
        call = {"index": 0, "id": text, "type": "function", "function": {"name": text, "arguments": json.dumps(text)}}
        deltas: list[dict[str, Any]] = [{"reasoning_content": text}, {"content": text}, {"tool_calls": [call]}]
        chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        same = {"id": text, "object": "chat.completion.chunk", "model": text, "system_fingerprint": text}
        body = "".join(f"data: {json.dumps({**same, **chunk})}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        self._answer(body.encode(), "text/event-stream")

    @property
    def _all(self) -> str:
        return " ".join(self.texts.values())

    def _send(self, value: object, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._answer(json.dumps(value).encode(), "application/json", status)

    def _answer(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class Thief:
    """A server that counts who connects."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.visits = 0
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            try:
                visitor, _ = self.socket.accept()
            except OSError:
                return
            self.visits += 1
            visitor.close()

    def close(self) -> None:
        """Receive nobody any more."""
        self.socket.close()
