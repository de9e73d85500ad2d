"""Whether a cluster can be used: what is asked of it before anything is sent."""

from __future__ import annotations

from importlib import metadata
from typing import Any, Final

from distributed import Client

from ... import __version__
from ...protocol.errors import ConfigurationError
from ...text.messages import Message
from .worker import UnfitWorker, other_version

_DISTRIBUTION: Final = "deepseek-magic"


def check(client: Any) -> None:
    """Raise ConfigurationError for what cannot be used, or has another version of this package on a worker."""
    if not isinstance(client, Client):
        raise ConfigurationError.of_setting("on", type(client).__name__, Message("it takes a distributed.Client"))
    if client.asynchronous:
        said = Message("it takes a client that was made without asynchronous=True")
        raise ConfigurationError.of_setting("on", "Client(asynchronous=True)", said)
    if client.status != "running":
        said = Message("it takes a client that is connected, and this one is {status}", status=client.status)
        raise ConfigurationError.of_setting("on", "Client", said)
    versions = client.run(metadata.version, _DISTRIBUTION, on_error="return")
    if not versions:
        raise ConfigurationError(
            Message("The cluster has no workers."), hint=Message("Start some, like cluster.scale(2).")
        )
    for name, found in versions.items():
        if isinstance(found, Exception):
            raise UnfitWorker(
                Message("The worker {worker} has no deepseek-magic.", worker=name),
                hint=Message("Every worker needs deepseek-magic, in the same version as here."),
            )
        if found != __version__:
            raise other_version(name, found, __version__)
