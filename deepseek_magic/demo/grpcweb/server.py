"""The service and the Envoy before it as one thing that starts and stops, beside the demo server whose state it shares."""

from __future__ import annotations

from ...protocol.errors import ConfigurationError
from ...protocol.grpcweb.frames import SCHEME
from ...text.messages import Message
from ..faults.spec import Fault
from ..state import DemoState
from .envoy import Envoy
from .servicer import FAULTS, HOST, Service


class GRPCWebDemo:
    """The demo behind gRPC-Web. ``grpc_port`` speaks gRPC itself, ``envoy`` is the proxy in front of it, on ``port`` (0: a free
    one).

    Raises ConfigurationError without the extra "grpc" and for a fault that gRPC does not have, and OSError for a port that is
    taken.
    """

    def __init__(self, state: DemoState, port: int = 0) -> None:
        check_faults(state.faults.faults)
        self._service = Service(state)
        self.grpc_port = self._service.port
        self.envoy = Envoy(self.grpc_port, port)

    @property
    def base_url(self) -> str:
        """The address to give to a client."""
        return f"{SCHEME}http://{HOST}:{self.envoy.port}"

    def start(self) -> GRPCWebDemo:
        """Serve; returns when the Envoy listens."""
        self._service.start()
        try:
            self.envoy.start()
        except BaseException:
            self._service.stop()
            raise
        return self

    def stop(self) -> None:
        """End both; safe to call again."""
        self.envoy.stop()
        self._service.stop()

    def __enter__(self) -> GRPCWebDemo:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def check_faults(faults: tuple[Fault, ...]) -> None:
    """Raise ConfigurationError for a fault that there is none of over gRPC."""
    for fault in faults:
        if fault.kind not in FAULTS:
            raise ConfigurationError(
                Message(
                    "The fault {name} is about server-sent events; there is none like it over gRPC-Web.",
                    name=fault.kind,
                ),
                hint=Message("There are: {names}.", names=", ".join(sorted(FAULTS))),
            )
