"""The servers that a call can go to: addresses, names of keys, models, and how each one continues a cut answer.

Data, each entry with its source and date; ``resolve`` turns what a user typed into one of them. Apart from keys,
because an address may be known where no secret is.
"""

from __future__ import annotations

import functools
import ipaddress
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from ...protocol.chat import ContinueStyle
from ...protocol.errors import ConfigurationError
from ...protocol.grpcweb.frames import SCHEME as GRPC_WEB
from ...protocol.measured import TYPED
from ...protocol.models import DEFAULT_MODEL, MODELS
from ...protocol.options import ProjectText, closest
from ...text.messages import Message

BASE_URL_VARIABLE: Final = "DEEPSEEK_BASE_URL"
DEMO_VARIABLE: Final = "DEEPSEEK_MAGIC_DEMO"
"""The base URL of the demo server that runs in this process or beside it: what answers there is the demo, not DeepSeek."""
HUB_TOKEN_VARIABLE: Final = "JUPYTERHUB_API_TOKEN"
HUB_VARIABLE: Final = "JUPYTERHUB_API_URL"
"""What a JupyterHub tells the servers that it starts: their own token, and where it is itself."""
_HUB_SERVICE: Final = "/services/"
DEMO_PORT: Final = 8642
"""Where ``deepseek-magic serve`` listens by default."""
_GRPC_CHAT: Final = "/xai_api.Chat/GetCompletionChunk"
_GRPC_MODELS: Final = "/xai_api.Models/ListLanguageModels"


@functools.lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Taped:
    """The tape that stands between a place and those who ask it: the ``number``-th of this process, and the file's name.

    ``plays``: it answers in the place's stead, and with ``asks`` the place itself answers what is not on it; otherwise what
    the place answers is recorded. ``pace`` is a factor on every wait.
    """

    number: int
    name: str
    plays: bool = False
    asks: bool = False
    pace: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One server.

    ``key_variables`` are the environment variables that may hold its key, the first one that is set wins.
    ``default_model`` and ``models`` are None and empty where the server decides. ``is_priced``: DeepSeek's own prices
    hold, else those that the price table has under its name. ``source`` and ``as_of`` say where the entry comes from.
    A ``base_url`` that begins with ``grpc-web+`` is that of a server with xAI's chat interface. ``tape`` is the tape that
    records or plays what it answers.
    """

    name: str
    title: str
    base_url: str
    key_variables: tuple[str, ...] = ()
    needs_key: bool = True
    default_model: str | None = None
    models: tuple[str, ...] = ()
    beta_url: str | None = None
    continuing: ContinueStyle = "none"
    has_balance: bool = False
    is_priced: bool = False
    source: str = ""
    as_of: str = ""
    tape: Taped | None = None

    @property
    def address(self) -> str:
        """What is known of the place is known under this name. Behind a tape nothing is known at first: a lesson has to run
        when it is played as it ran when it was recorded."""
        return self.base_url if self.tape is None else f"{self.base_url}#tape-{self.tape.number}"

    @property
    def pace(self) -> float:
        """A factor on every wait between two requests: that of a tape from which all answers come."""
        return self.tape.pace if self.tape is not None and self.tape.plays and not self.tape.asks else 1.0

    @property
    def host(self) -> str:
        """The host with its port, as a person would name it."""
        return urlsplit(self.base_url).netloc

    @property
    def is_grpc_web(self) -> bool:
        """Whether it is asked by gRPC-Web, with xAI's chat interface."""
        return self.base_url.startswith(GRPC_WEB)

    @property
    def http_url(self) -> str:
        """The base URL as HTTP knows it."""
        return self.base_url.removeprefix(GRPC_WEB)

    @property
    def price_list(self) -> str:
        """The name under which the price table has its prices."""
        return "deepseek" if self.is_priced else self.name

    @property
    def is_local(self) -> bool:
        """Whether it runs on this machine."""
        return is_loopback(urlsplit(self.base_url).hostname or "")

    @property
    def is_clear_text(self) -> bool:
        """Whether what is sent could be read on the way: http to another machine."""
        return self.http_url.startswith("http:") and not self.is_local

    @property
    def chat_url(self) -> str:
        """Where chats are posted."""
        return f"{self.base_url}{_GRPC_CHAT if self.is_grpc_web else '/chat/completions'}"

    @property
    def models_url(self) -> str:
        """Where models are listed."""
        return f"{self.base_url}{_GRPC_MODELS if self.is_grpc_web else '/models'}"

    @property
    def balance_url(self) -> str | None:
        """Where the account's balance can be asked for; DeepSeek alone has such an address."""
        return f"{self.base_url}/user/balance" if self.has_balance else None

    @property
    def continue_url(self) -> str:
        """Where a partial answer is posted to be continued."""
        return self.chat_url if self.beta_url is None else f"{self.beta_url}/chat/completions"


_AS_OF: Final = "2026-11-22"
_hosted: Final = functools.partial(Endpoint, as_of=_AS_OF)
_local: Final = functools.partial(_hosted, needs_key=False)

_DEEPSEEK: Final = Endpoint(
    name="deepseek",
    title="DeepSeek",
    base_url="https://api.deepseek.com",
    key_variables=("DEEPSEEK_API_KEY",),
    default_model=DEFAULT_MODEL,
    models=tuple(model.id for model in MODELS),
    beta_url="https://api.deepseek.com/beta",
    continuing="deepseek_prefix",
    has_balance=True,
    is_priced=True,
    source="api-docs.deepseek.com: quick_start/pricing, guides/chat_prefix_completion",
    as_of=_AS_OF,
)

_ALL: Final = (
    _DEEPSEEK,
    replace(
        _DEEPSEEK,
        name="demo",
        title="the demo server",
        is_priced=False,
        base_url=f"http://127.0.0.1:{DEMO_PORT}",
        beta_url=f"http://127.0.0.1:{DEMO_PORT}/beta",
        key_variables=(),
        needs_key=False,
        source="deepseek_magic/demo",
    ),
    _local(
        name="ollama",
        title="Ollama",
        base_url="http://127.0.0.1:11434/v1",
        key_variables=("OLLAMA_API_KEY",),
        source="the project's page on OpenAI compatibility; continuing was not found documented",
    ),
    _local(
        name="vllm",
        title="vLLM",
        base_url="http://127.0.0.1:8000/v1",
        key_variables=("VLLM_API_KEY",),
        continuing="continue_final_message",
        source="docs.vllm.ai, OpenAI-compatible server (reasoning renamed in 0.11)",
    ),
    _local(
        name="llamacpp",
        title="llama.cpp",
        base_url="http://127.0.0.1:8080/v1",
        key_variables=("LLAMA_API_KEY",),
        continuing="continue_final_message",
        source="ggml-org/llama.cpp pull request 23089 (May 2026); older builds answer 400 and are then restarted",
    ),
    _local(
        name="sglang",
        title="SGLang",
        base_url="http://127.0.0.1:30000/v1",
        key_variables=("SGLANG_API_KEY",),
        continuing="continue_final_message",
        source="docs.sglang.io, separate reasoning",
    ),
    _hosted(
        name="openrouter",
        title="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        key_variables=("OPENROUTER_API_KEY",),
        default_model="deepseek/deepseek-v4.1-flash",
        models=("deepseek/deepseek-v4.1-flash", "deepseek/deepseek-v4.1-flash-1017", "deepseek/deepseek-v4-pro"),
        continuing="trailing_assistant",
        source="openrouter.ai documentation, assistant prefill and limits; prefill depends on the host behind it",
    ),
    _hosted(
        name="siliconflow",
        title="SiliconFlow",
        base_url="https://api.siliconflow.cn/v1",
        key_variables=("SILICONFLOW_API_KEY",),
        source="the vendor's API reference; model ids were not found dated",
    ),
    _hosted(
        name="volcengine",
        title="Volcengine Ark",
        base_url="https://ark.cn-beijing.volces.com/api/v3",
        key_variables=("ARK_API_KEY", "VOLCENGINE_API_KEY"),
        default_model="deepseek-v4-flash-ga-260731",
        models=("deepseek-v4-flash-ga-260731",),
        source="third-party price lists of dated ids; the vendor's chat reference",
    ),
    _hosted(
        name="together",
        title="Together",
        base_url="https://api.together.xyz/v1",
        key_variables=("TOGETHER_API_KEY",),
        default_model="deepseek-ai/DeepSeek-V4.1-Flash-1017",
        models=("deepseek-ai/DeepSeek-V4.1-Flash-1017",),
        source="docs.together.ai, serverless rate limits",
    ),
    _hosted(
        name="fireworks",
        title="Fireworks",
        base_url="https://api.fireworks.ai/inference/v1",
        key_variables=("FIREWORKS_API_KEY",),
        default_model="accounts/fireworks/models/deepseek-v4p1-flash-1017",
        models=("accounts/fireworks/models/deepseek-v4p1-flash-1017", "accounts/fireworks/models/deepseek-v4-pro-0813"),
        source="docs.fireworks.ai, serverless rate limits",
    ),
)

ENDPOINTS: Final[Mapping[str, Endpoint]] = MappingProxyType({endpoint.name: endpoint for endpoint in _ALL})
"""Every named endpoint."""

_BY_HOST: Final[Mapping[str, Endpoint]] = MappingProxyType(
    {e.host: e for e in _ALL if not e.is_local} | {"api.siliconflow.com": ENDPOINTS["siliconflow"]}
)
_PASTED_TAILS: Final = ("/chat/completions", "/models")


def resolve(endpoint: str | Endpoint | None = None, base_url: str | None = None) -> Endpoint:
    """The endpoint for a name, a base URL or nothing at all; ``base_url`` moves a named one to another address.

    With neither, and for the name ``deepseek``, DEEPSEEK_BASE_URL decides; ``demo`` is the one that runs in this process
    or beside it, which is also asked when nothing at all is said. Raises ConfigurationError for an unknown name and for
    what is no base URL.
    """
    if isinstance(endpoint, Endpoint):
        return endpoint if base_url is None else _elsewhere(endpoint, _clean(base_url))
    if endpoint is not None and "://" in endpoint:
        if base_url is not None:
            raise ConfigurationError(Message("Two base URLs were given."), hint=Message("Give the address once."))
        endpoint, base_url = None, endpoint
    if base_url is not None:
        url = _clean(base_url)
        return _elsewhere(_named(endpoint), url) if endpoint is not None else _at(url)
    from_environment = os.environ.get(BASE_URL_VARIABLE, "").strip()
    if endpoint in (None, "deepseek") and from_environment:
        # Whoever sets the address in the environment names the key beside it for that address.
        url = _clean(from_environment, said_by=BASE_URL_VARIABLE)
        return _at(url, key_variables=(*_DEEPSEEK.key_variables, *_of_hub(url)))
    if endpoint in (None, "demo") and (beside := os.environ.get(DEMO_VARIABLE)):
        return _moved(ENDPOINTS["demo"], beside)
    return _named(endpoint or "deepseek")


Endpoints = str | Endpoint | Sequence[str | Endpoint] | None
"""What a user may say: a name or base URL, several with commas between, an Endpoint, a list of them, or nothing."""


def in_order(endpoint: Endpoints = None, base_url: str | None = None) -> tuple[Endpoint, ...]:
    """The endpoints to ask, in that order, at least one; each as ``resolve`` has it. Raises ConfigurationError, also for
    an address that a project's settings name and nobody has confirmed (see ``session.trust``)."""
    for said in (endpoint, base_url):
        if isinstance(said, ProjectText):
            plain: list[Any] = [str(each) if isinstance(each, ProjectText) else each for each in (endpoint, base_url)]
            return _default_or_refused(said, in_order(*plain))
    typed: list[str | Endpoint]
    if isinstance(endpoint, str):
        typed = [*_separated(endpoint)]
    else:
        typed = [endpoint] if isinstance(endpoint, Endpoint) else list(endpoint or ())
    if base_url is not None and len(typed) > 1:
        sentence = Message("A base URL goes with one endpoint.")
        raise ConfigurationError(sentence, hint=Message("Give it as one of the endpoints."))
    places = tuple(resolve(each, base_url) for each in typed) or (resolve(None, base_url),)
    return places if taping is None else taping(places, bool(typed or base_url))


taping: Callable[[tuple[Endpoint, ...], bool], tuple[Endpoint, ...]] | None = None
"""What becomes of the endpoints that are asked while a tape records or plays, and whether they were typed; see ``engine.tape``."""


def recorded(name: str, *, local: bool, grpc_web: bool) -> Endpoint:
    """The endpoint of a recording, for what has to be known of it to ask it the same; it is never reached."""
    place = ENDPOINTS.get(name) or replace(_DEEPSEEK, name=TYPED, is_priced=False, source="a tape", as_of="")
    url = place.base_url if place.name == name else "http://127.0.0.1" if local else "https://tape.invalid"
    return _moved(place, f"{GRPC_WEB}{url}" if grpc_web else url)


def hosts_elsewhere(endpoints: Sequence[Endpoint]) -> str:
    """The hosts that are asked, for the status line; nothing where that is DeepSeek's own alone. A tape that plays is one."""
    if endpoints[0].tape is not None and endpoints[0].tape.plays:
        return endpoints[0].tape.name
    hosts = [endpoint.host for endpoint in endpoints]
    return "" if hosts == [_DEEPSEEK.host] else ", ".join(hosts)


def _default_or_refused(said: ProjectText, places: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """``places``, where they are what is asked anyway. Raises ConfigurationError for any other."""
    if places == in_order():
        return places
    raise ConfigurationError(
        Message(
            "Nothing was sent, because the pyproject.toml in {folder} names {hosts} as where requests go, and you have not confirmed that.",
            folder=said.folder,
            hosts=", ".join(place.host for place in places),
        ),
        hint=Message("%deepseek_trust confirms this folder with this host; --endpoint deepseek asks DeepSeek instead."),
    )


def _separated(said: str) -> Iterator[str]:
    """The names and addresses between commas. A comma inside an address belongs to it."""
    whole = ""
    for part in (*said.split(","), ""):
        if "://" in whole and part and part == part.strip() and "://" not in part and part not in ENDPOINTS:
            whole += f",{part}"
            continue
        if whole.strip():
            yield whole.strip()
        whole = part


def _named(name: str) -> Endpoint:
    if name in ENDPOINTS:
        return ENDPOINTS[name]
    names = ", ".join(ENDPOINTS)
    raise ConfigurationError(
        Message("There is no endpoint {name}{near}.", name=name, near=closest(name, tuple(ENDPOINTS))),
        hint=Message("Known endpoints: {names}; for any other server, give its base URL.", names=names),
    )


def _at(url: str, *, key_variables: tuple[str, ...] | None = None) -> Endpoint:
    """The endpoint at an address: a known host, or a custom one that is treated like DeepSeek until it refuses.

    A server without a beta address answers 404 there, which turns continuing off for it; nothing is lost by asking.
    """
    if url == os.environ.get(DEMO_VARIABLE):
        return _moved(ENDPOINTS["demo"], url)
    known = _BY_HOST.get(urlsplit(url).netloc)
    if known is not None:
        return known if known is _DEEPSEEK and urlsplit(url).path in ("", "/v1") else _moved(known, url)
    custom = replace(_DEEPSEEK, name=TYPED, is_priced=False, source="the base URL that was given", as_of="")
    if key_variables is not None:
        return _moved(replace(custom, key_variables=key_variables), url)
    return _elsewhere(custom, url)


def _of_hub(url: str) -> tuple[str, ...]:
    """The variable of the token that a JupyterHub gave this server, for a service of that hub."""
    return (HUB_TOKEN_VARIABLE,) if _HUB_SERVICE in urlsplit(url).path and os.environ.get(HUB_VARIABLE) else ()


def _elsewhere(endpoint: Endpoint, url: str) -> Endpoint:
    """``endpoint`` at an address that was typed. The key of a service stays with the service's own host: another host
    gets one only from a variable with that host's name. Servers of one's own have no host that their key belongs to."""
    moved = _moved(endpoint, url)
    if moved.host == endpoint.host or endpoint.is_local:
        return moved
    if moved.is_local:
        return replace(moved, key_variables=())
    # DEEPSEEK_API_KEY_ and the host's name in capitals, "." as "_", "-" as "__"
    host = re.sub(r"[^A-Z0-9_]", "_", (urlsplit(url).hostname or "").upper().replace("-", "__"))
    return replace(moved, key_variables=(f"{_DEEPSEEK.key_variables[0]}_{host}",))


def _moved(endpoint: Endpoint, url: str) -> Endpoint:
    if url.startswith(GRPC_WEB):
        endpoint = _by_grpc_web(endpoint)
    beta = None if endpoint.beta_url is None else url.removesuffix("/v1").removesuffix("/beta") + "/beta"
    parts = urlsplit(url)
    title = endpoint.title if endpoint.host == parts.netloc or endpoint.name == "demo" else parts.netloc
    # In clear text to another machine no key is ever sent, so none is asked for either.
    secret = parts.scheme.endswith("https")
    return replace(endpoint, base_url=url, beta_url=beta, title=title, needs_key=endpoint.needs_key and secret)


def _by_grpc_web(endpoint: Endpoint) -> Endpoint:
    """What is known of it where it is asked by gRPC-Web. The interface has no word for a beginning to be continued: only a
    server of which that is known is sent one as its last message, since another would begin anew."""
    trailing = endpoint.name == "demo" or endpoint.continuing == "trailing_assistant"
    made = replace(endpoint, continuing="trailing_assistant" if trailing else "none", beta_url=None, has_balance=False)
    return replace(made, default_model=None, models=()) if endpoint.name == TYPED else made


_BASE_URL: Final = Message("The base URL")


def _clean(url: str, *, said_by: Message | str = _BASE_URL) -> str:
    """The address without what people paste along with it. Raises ConfigurationError when it is none."""
    shown = url.strip()
    try:
        parts = urlsplit(shown)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise _no_url(said_by, Message("it is not a web address")) from None
    if parts.username or parts.password:
        raise _no_url(said_by, Message("it holds a user name or a password"))
    if parts.scheme.removeprefix(GRPC_WEB) not in ("http", "https") or not host:
        raise _no_url(said_by, Message("it does not start with https:// (or http://) and a host"))
    if parts.query or parts.fragment:
        raise _no_url(said_by, Message("it has a ? or a # in it"))
    path = parts.path.rstrip("/")
    for tail in _PASTED_TAILS:
        path = path.removesuffix(tail)
    return SplitResult(parts.scheme, parts.netloc.lower(), path.rstrip("/"), "", "").geturl()


def _no_url(said_by: Message | str, why: Message) -> ConfigurationError:
    # The text itself is not shown: people paste keys into addresses.
    sentence = Message("{said} cannot be used: {why}.", said=said_by, why=why)
    return ConfigurationError(sentence, hint=Message("It should look like https://api.deepseek.com."))
