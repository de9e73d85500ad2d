"""The relay over HTTP: the chat API's routes, what a student has left, and what the teacher sees.

Only this module and ``serving`` know starlette and uvicorn.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from ...policy.rules import PERIODS, allows
from ...protocol.errors import ConfigurationError, DeepSeekError
from ...text.language import Language, of_locales
from ...text.messages import Message
from .. import asked as bodies
from ..figures import metrics, snapshot
from ..hub import CALLBACK, HubService
from ..refusals import Refusal, by_error, unauthorised
from ..roster import Person
from ..service import ClassService
from .login import LOGIN_S, HubLogin
from .page import page
from .reader import TRANSPORT, FlightReader
from .watching import Watching

LARGEST_BODY_BYTES: Final = 16 * 2**20
BODY_S: Final = 60.0
"""Who sends a request more slowly than this is not waited for."""
COOKIE: Final = "deepseek-relay-teacher"
HUB_COOKIE: Final = "deepseek-relay-hub"
LOGIN_COOKIE: Final = "deepseek-relay-login"
NOT_THE_TEACHER: Final = Message("This is the teacher's: open the address that the relay printed when it began.")
_CHAT: Final = ("/v1/chat/completions", "/chat/completions", "/beta/chat/completions", "/v1/beta/chat/completions")
_MODELS: Final = ("/v1/models", "/models")


class RelayApp:
    """The ASGI application of a service. ``teacher_token`` opens what the teacher sees; ``hub`` is the one that has put it below its
    own addresses."""

    def __init__(self, service: ClassService, *, teacher_token: str, hub: HubService | None = None) -> None:
        self.service = service
        self._teacher = teacher_token
        self._prefix = hub.prefix.rstrip("/") if hub is not None else ""
        self._login = HubLogin(hub, service.client.transport) if hub is not None else None
        self._watching = Watching(service)
        routes: list[BaseRoute] = [
            *(Route(path, self._chat, methods=["POST"]) for path in _CHAT),
            *(Route(path, self._models, methods=["GET"]) for path in _MODELS),
            Route("/v1/budget", self._budget, methods=["GET"]),
            Route("/healthz", self._health, methods=["GET"]),
            Route("/metrics", self._metrics, methods=["GET"]),
            Route("/teacher", self._page, methods=["GET"]),
            Route("/teacher/events", self._events, methods=["GET"]),
            Route("/teacher/stop", self._stop, methods=["POST"]),
            Route("/", self._root, methods=["GET"]),
        ]
        if self._login is not None:
            routes.append(Route(f"/{CALLBACK}", self._logged_in, methods=["GET"]))
        if self._prefix:
            routes = [Mount(self._prefix, routes=routes), *routes]
        handlers: Mapping[Any, Any] = {Refusal: _refuse, 404: _nothing_there, 405: _nothing_there, 500: _failed}
        self._starlette = Starlette(routes=routes, lifespan=self._life, exception_handlers=handlers)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        scope[TRANSPORT] = getattr(getattr(send, "__self__", None), "transport", None)
        await self._starlette(scope, receive, send)

    @contextlib.asynccontextmanager
    async def _life(self, _: Starlette) -> AsyncIterator[None]:
        async with self.service.running():
            yield

    async def close(self) -> None:
        """End every answer and every page that is open, so that the server can stop."""
        self._watching.end()
        await self.service.close()

    # students

    async def _chat(self, request: Request) -> Any:
        asker = await self._who(request)
        try:
            asked = bodies.read(await _body(request))
        except ConfigurationError as error:
            self.service.board.refuse(asker.name, 400, "request")
            raise by_error(error) from None
        alone = "no-cache" in request.headers.get("cache-control", "")
        last_id = request.headers.get("last-event-id")
        try:
            boarded = await self.service.board_flight(asker, asked, alone=alone, last_id=last_id)
        except Refusal as refused:
            self.service.board.refuse(asker.name, refused.status, str(refused.code), asked.request.model)
            raise
        return FlightReader(self.service, asker.name, boarded, stream=asked.stream)

    async def _models(self, request: Request) -> Response:
        await self._who(request)
        rules = self.service.classroom.rules
        names: list[str] = list(rules.models)
        if not names:
            try:
                names = [model.id for model in await self.service.client.models() if allows(rules, model.id)]
            except DeepSeekError as error:
                raise by_error(error) from None
        return JSONResponse(
            {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "relay"} for name in names]}
        )

    async def _budget(self, request: Request) -> Response:
        asker = await self._who(request)
        now = self.service.clock.now()
        told: dict[str, Any] = {"student": asker.name}
        for currency in ("USD", "demo USD"):
            account = await self.service.accounts.account(asker.name, currency, now)
            told[currency] = {
                period: {"used": float(account.used[period]), "of": None if cap is None else float(cap)}
                for period in PERIODS
                for cap in (account.caps[period],)
            }
        return JSONResponse(told)

    async def _who(self, request: Request) -> Person:
        return await self.service.door.who(_token(request))

    # everybody

    async def _root(self, _: Request) -> Response:
        return PlainTextResponse(f"deepseek-magic relay: {self._prefix}/v1\n")

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"ok": True, "stopped": self.service.stopped})

    # the teacher

    async def _teaches(self, request: Request) -> None:
        """Raise Refusal unless the teacher asks: by the token of this run, as bearer or in a cookie, or as one of the hub."""
        cookie = request.cookies.get(COOKIE, "")
        for given in (cookie, request.headers.get("authorization", "").removeprefix("Bearer ")):
            if hmac.compare_digest(given.encode(), self._teacher.encode()):
                return
        token = request.cookies.get(HUB_COOKIE)
        if self._login is not None and token and "authorization" not in request.headers:
            asker = await self.service.door.who(token)
        elif "authorization" in request.headers:
            asker = await self._who(request)
        else:
            raise unauthorised(NOT_THE_TEACHER)
        if not asker.teaches:
            said = Message(
                "{name} does not teach this class: it is for its teachers and their groups.", name=asker.name
            )
            raise Refusal(status=403, message=said, type="permission_error", code="teachers")

    async def _page(self, request: Request) -> Response:
        given = request.query_params.get("token")
        if given is not None:
            if not hmac.compare_digest(given.encode(), self._teacher.encode()):
                raise unauthorised(NOT_THE_TEACHER)
            # Out of the address: a projector shows it, and a browser remembers it.
            answer = RedirectResponse(f"{self._prefix}/teacher", status_code=303)
            self._give_cookie(request, answer, COOKIE, given, samesite="strict")
            return answer
        try:
            await self._teaches(request)
        except Refusal as refused:
            if self._login is None or refused.status != 401 or "text/html" not in request.headers.get("accept", ""):
                raise
            login = self._login.begin()
            answer = RedirectResponse(login.url, status_code=303)
            self._give_cookie(request, answer, LOGIN_COOKIE, login.kept, max_age=LOGIN_S)
            return answer
        nonce = secrets.token_urlsafe(16)
        headers = {
            "cache-control": "no-store",
            "content-security-policy": f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        }
        return HTMLResponse(page(_language(request), self.service.classroom, nonce), headers=headers)

    async def _logged_in(self, request: Request) -> Response:
        """A browser comes back from the hub."""
        assert self._login is not None
        given, kept = request.query_params, request.cookies.get(LOGIN_COOKIE, "")
        token = await self._login.token(state=given.get("state", ""), code=given.get("code", ""), kept=kept)
        answer = RedirectResponse(f"{self._prefix}/teacher", status_code=303)
        self._give_cookie(request, answer, HUB_COOKIE, token)
        answer.delete_cookie(LOGIN_COOKIE, path=self._prefix)
        return answer

    def _give_cookie(self, request: Request, answer: Response, name: str, value: str, **settings: Any) -> None:
        settings.setdefault("samesite", "lax")
        answer.set_cookie(name, value, secure=_is_https(request), httponly=True, path=self._prefix or "/", **settings)

    async def _events(self, request: Request) -> Any:
        await self._teaches(request)
        return self._watching.response(_language(request))

    async def _stop(self, request: Request) -> Response:
        await self._teaches(request)
        if request.headers.get("content-type") != "application/json":  # which no page of another site may send unasked
            return Response(status_code=415)
        try:
            wanted = json.loads(await _body(request))
        except (ValueError, RecursionError):
            wanted = None
        if not isinstance(wanted, dict) or not isinstance(wanted.get("stopped"), bool):
            said = Message("The request is not JSON.")
            raise Refusal(status=400, message=said, type="invalid_request_error")
        await self.service.stop(wanted["stopped"])
        return JSONResponse({"stopped": self.service.stopped})

    async def _metrics(self, request: Request) -> Response:
        await self._teaches(request)
        return PlainTextResponse(metrics(await snapshot(self.service)), media_type="text/plain; version=0.0.4")


def _is_https(request: Request) -> bool:
    """Whether the browser came by https, also where a hub's proxy stands between; a wrong word hurts nobody but who says it."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", "").partition(",")[0].strip())


def _token(request: Request) -> str:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() not in ("bearer", "token") or not token.strip():
        raise unauthorised(Message("There is no token: give the one that your teacher gave you as the API key."))
    return token.strip()


async def _body(request: Request) -> bytes:
    found = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for data in request.stream():
                found += data
                if len(found) > LARGEST_BODY_BYTES:
                    said = Message("The request has more than {limit} bytes.", limit=f"{LARGEST_BODY_BYTES:,}")
                    raise Refusal(status=413, message=said, type="invalid_request_error")
    except TimeoutError:
        said = Message("The request did not come to its end within {limit} s.", limit=f"{BODY_S:.0f}")
        raise Refusal(status=408, message=said, type="invalid_request_error") from None
    except ClientDisconnect:
        raise Refusal(status=400, message=Message("The request broke off."), type="invalid_request_error") from None
    return bytes(found)


def _language(request: Request) -> Language:
    wanted = request.query_params.get("lang") or request.headers.get("accept-language", "")
    return of_locales([wanted.partition(",")[0].replace("-", "_")])


async def _refuse(request: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refusal)
    return Response(refused.body(_language(request)), refused.status, refused.headers)


async def _failed(request: Request, error: Exception) -> Response:
    """A fault of the relay: its trace is in the log, and the client is told as it is told everything else."""
    said = Message("The relay failed at this request ({kind}); its owner has to see to it.", kind=type(error).__name__)
    return await _refuse(request, Refusal(status=500, message=said, type="server_error", code=500))


async def _nothing_there(request: Request, _: Exception) -> Response:
    said = Message("The relay has nothing at {method} {path}.", method=request.method, path=request.url.path[:80])
    refused = Refusal(status=404, message=said, type="invalid_request_error")
    return await _refuse(request, refused)
