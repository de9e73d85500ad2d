"""``%deepseek_key``, ``%deepseek_models``, ``%deepseek_doctor``: the way to the endpoint, and what stands in it."""

from __future__ import annotations

from getpass import getpass
from typing import TYPE_CHECKING

from IPython.core.error import StdinNotImplementedError
from IPython.core.magic import Magics, line_magic, magics_class

from ..engine.loop import engine
from ..protocol.errors import ConfigurationError, MissingKey
from ..protocol.language import say, translated
from ..protocol.models import ALIASES
from .flags import read_line

if TYPE_CHECKING:
    from ..engine.endpoints import Endpoint
    from ..engine.health import Health

__all__ = ["ServiceMagics"]


def _endpoint(line: str) -> Endpoint:
    """The endpoint named on the line, or the one in force. Raises ConfigurationError."""
    from ..engine.endpoints import resolve
    from ..session import session

    typed = read_line(line)
    if typed.rest or set(typed.options) - {"endpoint", "base_url"}:
        raise ConfigurationError("This magic takes --endpoint and --base-url only.")
    options = session().defaults.replace(**typed.options)
    return resolve(options.get("endpoint"), options.get("base_url"))


def _check(line: str) -> Health:
    """Ask the endpoint. Raises ConfigurationError."""
    from ..engine.client import Client

    endpoint = _endpoint(line)

    async def check() -> Health:
        async with Client(endpoint) as client:
            return await client.check()

    return engine.run(check())


def _ask(question: str) -> str:
    try:
        return getpass(question)
    except StdinNotImplementedError:
        raise MissingKey(
            "No key was asked for, because nobody can answer here: this run has no keyboard.",
            hint="Set the key in the environment instead.",
        ) from None


@magics_class
class ServiceMagics(Magics):
    """Questions to the service itself."""

    @line_magic
    def deepseek_key(self, line: str) -> None:
        """Ask for the API key in a masked box and keep it in this kernel's memory, nowhere else.

        ::

          %deepseek_key [--endpoint NAME] [--base-url URL]

        A magic of its own, so that no cell stops a Run All with a question. Where a key is found already (environment,
        ``.env``, keyring), it says where.
        """
        from ..engine.keys import find_key

        endpoint = _endpoint(line)
        key = find_key(endpoint, ask=_ask)
        if key is None:
            print(say("{endpoint} needs no key.", endpoint=endpoint.title))
        else:
            source = translated(key.source)
            print(say("The key for {endpoint} is from {source}.", endpoint=endpoint.title, source=source))

    @line_magic
    def deepseek_doctor(self, line: str) -> None:
        """Check key, name, connection, TLS, models, balance and the versions here, each with a verdict.

        ::

          %deepseek_doctor [--endpoint NAME] [--base-url URL]
        """
        from ..engine.doctor import examine, is_well

        endpoint = _endpoint(line)
        print(f"{endpoint.title}, {endpoint.base_url}")
        findings = engine.run(examine(endpoint))
        print(*findings, sep="\n")
        if not is_well(findings):
            raise ConfigurationError("Calls will fail until the lines marked FAIL are mended.")
        print(say("All is well."))

    @line_magic
    def deepseek_models(self, line: str) -> None:
        """List the models of the endpoint, and the short names for them.

        ::

          %deepseek_models [--endpoint NAME] [--base-url URL]
        """
        health = _check(line)
        if health.error is not None:
            raise health.error
        short = {model: name for name, model in ALIASES.items()}
        for model in health.models:
            print(f"{model.id}  ({short[model.id]})" if model.id in short else model.id)
