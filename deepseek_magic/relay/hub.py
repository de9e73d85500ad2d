"""JupyterHub's tokens as the relay's: a service of a hub asks it whose token it was given.

``GET /user`` of the hub's API with the token itself (JupyterHub's page "services", and its REST API) tells name, groups and scopes, so
that no package of the hub is needed here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from ..engine.attempt import read_all
from ..engine.calls import HTTPCall, Transport
from ..engine.hosts.keys import Key
from ..protocol.errors import ConfigurationError, DeepSeekError
from ..text.messages import Message
from .refusals import Refusal, unauthorised
from .roster import Person, digest

CALLBACK: Final = "oauth_callback"
"""Where a hub sends a browser back to, below the service's prefix."""
UNKNOWN: Final = Message("The hub does not know this token, or has taken it back.")
CACHE_S: Final = 60.0
"""A token that the hub has taken back is refused after this time at the latest."""
READ_S: Final = 10.0
_LARGEST_BYTES: Final = 2**20
_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HubService:
    """What a hub tells a service that it starts, in its environment. ``public`` is where browsers find the hub: "" and a path, or
    an address, where services have one of their own. ``token`` is the service's own."""

    name: str
    api_url: str
    prefix: str
    host: str
    port: int
    public: str = "/hub"
    client_id: str = ""
    callback: str = ""
    token: str = field(default="", repr=False)

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> HubService | None:
        """The service that this process is; None where no hub started it. Raises ConfigurationError where a part is missing."""
        name, api_url = environment.get("JUPYTERHUB_SERVICE_NAME"), environment.get("JUPYTERHUB_API_URL")
        if not name or not api_url:
            return None
        url, prefix = environment.get("JUPYTERHUB_SERVICE_URL"), environment.get("JUPYTERHUB_SERVICE_PREFIX")
        parts = urlsplit(url or "")
        if not parts.hostname or not parts.port or not prefix:
            said = Message("The hub gives this service no address.")
            raise ConfigurationError(said, hint=Message("Set url for it in jupyterhub_config.py."))
        public = environment.get("JUPYTERHUB_HOST", "") + environment.get("JUPYTERHUB_BASE_URL", "/")
        return cls(
            name=name,
            api_url=api_url.rstrip("/"),
            prefix=prefix,
            host=parts.hostname,
            port=parts.port,
            public=f"{public.rstrip('/')}/hub",
            client_id=environment.get("JUPYTERHUB_CLIENT_ID") or f"service-{name}",
            callback=environment.get("JUPYTERHUB_OAUTH_CALLBACK_URL") or f"{prefix}{CALLBACK}",
            token=environment.get("JUPYTERHUB_API_TOKEN", ""),
        )


class HubDoor:
    """Tokens of a hub. ``teachers`` and all of ``teacher_groups`` may see the class, as the hub's admins may."""

    def __init__(
        self,
        service: HubService,
        transport: Transport,
        *,
        teachers: Sequence[str] = (),
        teacher_groups: Sequence[str] = (),
        cache_s: float = CACHE_S,
    ) -> None:
        self._service = service
        self._transport = transport
        self._teachers = frozenset(teachers)
        self._groups = frozenset(teacher_groups)
        self._cache_s = cache_s
        self._known: dict[str, tuple[float, Person]] = {}

    async def who(self, token: str) -> Person:
        """See Door. Asks the hub once a minute for each token."""
        now_s, name = time.monotonic(), digest(token)
        until_s, asker = self._known.get(name, (0.0, None))
        if asker is not None and now_s < until_s:
            return asker
        self._known.pop(name, None)
        asker = self._judged(await self._asked(token))
        self._known = (
            {key: kept for key, kept in self._known.items() if kept[0] > now_s}
            if len(self._known) > _KEPT
            else self._known
        )
        self._known[name] = now_s + self._cache_s, asker
        return asker

    async def _asked(self, token: str) -> Any:
        try:
            key = Key.passed_on(token, source=Message("the request"))
        except ConfigurationError:  # no token looks like this
            raise unauthorised(UNKNOWN) from None
        url, headers = f"{self._service.api_url}/user", {"accept": "application/json"}
        return await ask_hub(self._transport, HTTPCall(method="GET", url=url, headers=headers, key=key, read_s=READ_S))

    def _judged(self, user: Any) -> Person:
        match user:
            case {"name": str(name), "scopes": list(scopes)}:
                pass
            case _:
                raise unauthorised(Message("This token belongs to no user of the hub."))
        wanted = f"access:services!service={self._service.name}"
        if "access:services" not in scopes and wanted not in scopes:
            said = Message(
                "This token of {name} lacks the scope {scope}: in jupyterhub_config.py the role of the user, and the role named server (for kernels), need it.",
                name=name,
                scope=wanted,
            )
            raise Refusal(status=403, message=said, type="permission_error", code="hub.scope")
        teaches = (
            bool(user.get("admin")) or name in self._teachers or not self._groups.isdisjoint(user.get("groups", ()))
        )
        return Person(name=name, teaches=teaches)


async def ask_hub(transport: Transport, call: HTTPCall) -> Any:
    """What the hub answers, read as JSON. Raises Refusal where it knows no such token, or does not answer."""
    try:
        async with transport.open(call) as answer:
            if answer.status in (400, 401, 403, 404):
                raise unauthorised(UNKNOWN)
            body = await read_all(answer.chunks(), _LARGEST_BYTES)
            if answer.status != 200:
                raise _no_hub(str(answer.status))
            return msgspec.json.decode(body)
    except (DeepSeekError, msgspec.DecodeError) as error:
        raise _no_hub(str(error)) from None


def _no_hub(why: str) -> Refusal:
    said = Message("The hub did not say whose token this is: {why}", why=why)
    return Refusal(status=503, message=said, type="server_error", code=503, retry_after_s=2.0, final=False)
