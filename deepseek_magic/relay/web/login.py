"""A browser's way in by a JupyterHub: who is logged in there needs no address with a token for the teacher's page.

OAuth 2 as a hub speaks it to its services (JupyterHub's page "services"), with a state and a proof key (RFC 7636) that stay in the browser
for as long as that takes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from ...engine.calls import HTTPCall, Transport
from ...engine.hosts.keys import Key
from ...text.messages import Message
from ..hub import READ_S, UNKNOWN, HubService, ask_hub
from ..refusals import unauthorised

LOGIN_S: Final = 600
"""A login takes so long at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """One login under way: where the browser goes, and what it keeps meanwhile."""

    url: str
    kept: str


class HubLogin:
    """Logins of browsers at a hub."""

    def __init__(self, service: HubService, transport: Transport) -> None:
        self._service = service
        self._transport = transport

    def begin(self) -> Login:
        """A new login."""
        state, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "client_id": self._service.client_id,
            "redirect_uri": self._service.callback,
            "response_type": "code",
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return Login(url=f"{self._service.public}/api/oauth2/authorize?{urlencode(asked)}", kept=f"{state}.{verifier}")

    async def token(self, *, state: str, code: str, kept: str) -> str:
        """The user's token for the ``code`` that the hub sent the browser back with. Raises Refusal for a login that this browser
        did not begin, and for what the hub does not know."""
        began, _, verifier = kept.partition(".")
        if not (began and code) or not hmac.compare_digest(began.encode(), state.encode()):
            raise unauthorised(Message("This login was begun somewhere else, or took too long: open the page again."))
        asked = {
            "client_id": self._service.client_id,
            "client_secret": self._service.token,
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._service.callback,
            "code_verifier": verifier,
        }
        call = HTTPCall(
            method="POST",
            url=f"{self._service.api_url}/oauth2/token",
            headers={"accept": "application/json", "content-type": "application/x-www-form-urlencoded"},
            body=urlencode(asked).encode(),
            key=Key.passed_on(self._service.token, source=Message("the hub")),
            read_s=READ_S,
        )
        answer: Any = await ask_hub(self._transport, call)
        match answer:
            case {"access_token": str(token)}:
                return token
        raise unauthorised(UNKNOWN)
