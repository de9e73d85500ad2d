"""``%deepseek_models`` and ``%deepseek_doctor``: what the endpoint offers, and what stands in the way of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from IPython.core.magic import Magics, line_magic, magics_class

from ..engine.loop import engine
from ..protocol.errors import ConfigurationError
from ..protocol.models import ALIASES
from .flags import read_line

if TYPE_CHECKING:
    from ..engine.health import Health

__all__ = ["ServiceMagics"]


def _check(line: str) -> Health:
    """Ask the endpoint named on the line, or the one in force. Raises ConfigurationError."""
    from ..engine.client import Client
    from ..engine.endpoints import resolve
    from ..session import session

    typed = read_line(line)
    if typed.rest or set(typed.options) - {"endpoint", "base_url"}:
        raise ConfigurationError("This magic takes --endpoint and --base-url only.")
    options = session().defaults.replace(**typed.options)

    async def check() -> Health:
        async with Client(resolve(options.get("endpoint"), options.get("base_url"))) as client:
            return await client.check()

    return engine.run(check())


@magics_class
class ServiceMagics(Magics):
    """Questions to the service itself."""

    @line_magic
    def deepseek_doctor(self, line: str) -> None:
        """Check key, name, connection, TLS, models and balance, each with a verdict.

        ::

          %deepseek_doctor [--endpoint NAME] [--base-url URL]
        """
        health = _check(line)
        print(f"{health.endpoint.title}, {health.endpoint.base_url}")
        for step in health.steps:
            mark = {True: "ok", False: "FAILED", None: "not asked"}[step.ok]
            took = f"  {step.seconds * 1000:.0f} ms" if step.seconds is not None else ""
            print(f"{step.name:>10}  {mark}  {step.said}{took}")
        if health.error is not None:
            raise health.error

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
