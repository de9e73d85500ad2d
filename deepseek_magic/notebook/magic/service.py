"""``%deepseek_key``, ``%deepseek_trust``, ``%deepseek_models``, ``%deepseek_doctor``: the way to the endpoint."""

from __future__ import annotations

from getpass import getpass
from typing import TYPE_CHECKING

from IPython.core.error import StdinNotImplementedError
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from ...engine.home import engine
from ...engine.hosts.endpoints import Endpoint, in_order
from ...engine.hosts.keys import find_key
from ...protocol.errors import ConfigurationError, MissingKey
from ...protocol.models import ALIASES
from ...session import session, trust
from ...text.messages import Message, localized, say
from .flags import arguments, read_line
from .manuals import helped

if TYPE_CHECKING:
    from ...engine.hosts.health import Health


def _endpoints(line: str, *, at_home: bool = False) -> tuple[Endpoint, ...]:
    """The endpoints named on the line, or those in force; ``at_home``: one that is named is meant at its own address, wherever
    the demo or a setting has moved requests. Raises ConfigurationError."""
    typed = read_line(line)
    if typed.rest or set(typed.options) - {"endpoint", "base_url"}:
        raise ConfigurationError(Message("This magic takes --endpoint and --base-url only."))
    if at_home and "endpoint" in typed.options:
        return in_order(typed.options["endpoint"], typed.options.get("base_url"))
    options = session().in_force(typed.options)
    return in_order(options.get("endpoint"), options.get("base_url"))


def _ask(question: str) -> str:
    try:
        return getpass(question)
    except StdinNotImplementedError:
        said = Message("The key cannot be asked for here, because this run has no keyboard.")
        raise MissingKey(said, hint=Message("Set the key in the environment instead.")) from None


@magics_class
class ServiceMagics(Magics):
    """Questions to the service itself."""

    @line_magic
    def deepseek_key(self, line: str) -> None:
        """Ask for the API key in a masked box and keep it in this kernel's memory, nowhere else.

        ::

          %deepseek_key [--endpoint NAME,...] [--base-url URL]

        A magic of its own, so that no cell stops a Run All with a question. Where a key is found already (environment,
        ``.env``, keyring), it says where. An endpoint that is named gets its key also while the demo answers.
        """
        if helped(self, "deepseek_key", line):
            return
        for endpoint in _endpoints(line, at_home=True):
            key = find_key(endpoint, ask=_ask)
            if key is None:
                print(say("{endpoint} needs no key.", endpoint=endpoint.title))
            else:
                print(say("The key of {endpoint} comes from {source}.", endpoint=endpoint.title, source=key.source))

    @magic_arguments()
    @argument("--forget", action="store_true", help="take the confirmation back")
    @line_magic
    def deepseek_trust(self, line: str) -> None:
        """Confirm that the settings of this project may say where requests go.

        The pyproject.toml of a cloned repository could send your prompts anywhere. So an address in it is refused until you
        have confirmed that folder with that host, once; you are asked again when its settings change.
        """
        if helped(self, "deepseek_trust", line):
            return
        forget = arguments(self.deepseek_trust, line).forget
        found = trust.confirm(session().defaults, forget=forget)
        if found is None:
            print(say("No project settings in force name an address, so there is nothing to confirm."))
        elif forget:
            print(say("Requests of {folder} to {hosts} are refused again.", folder=found.folder, hosts=found.hosts))
        else:
            print(say("Requests of {folder} may go to {hosts} from now on.", folder=found.folder, hosts=found.hosts))

    @line_magic
    def deepseek_doctor(self, line: str) -> None:
        """Check key, name, connection, TLS, models, balance and the versions here, each with a verdict.

        ::

          %deepseek_doctor [--endpoint NAME,...] [--base-url URL]
        """
        if helped(self, "deepseek_doctor", line):
            return
        from ...engine.hosts.doctor import report, verdict
        from ..ahead.obstacles import standing

        endpoints = _endpoints(line)
        here = session()
        well = report(endpoints, engine.run, here.lately(endpoints), here.rails.shut(here.wall()))
        if (ahead := standing(self.shell)) is not None:
            print(ahead)
        if not any(well):
            raise ConfigurationError(verdict(well))
        print(localized(verdict(well)))

    @line_magic
    def deepseek_models(self, line: str) -> None:
        """List the models of the endpoint, and the short names for them.

        ::

          %deepseek_models [--endpoint NAME,...] [--base-url URL]
        """
        if helped(self, "deepseek_models", line):
            return
        from ...engine.client import Client

        endpoints = _endpoints(line)

        async def check() -> list[Health]:
            async with Client(endpoints) as client:
                return await client.check_all()

        checked = engine.run(check())
        errors = [health.error for health in checked if health.error is not None]
        if len(errors) == len(checked):
            raise errors[0]
        short = {model: name for name, model in ALIASES.items()}
        for health in checked:
            if len(checked) > 1:
                detail = health.error.localized() if health.error else ""
                print(say("{state}: {detail}", state=health.endpoint.title, detail=detail).rstrip())
            for model in health.models:
                print(f"{model.id}  ({short[model.id]})" if model.id in short else model.id)
