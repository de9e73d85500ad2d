"""Which proxy is between here and a server: what the environment says, read as curl and Go read it.

Python's own reading of ``NO_PROXY`` knows suffixes alone; companies write networks, wildcards and ports into it.
Sources: curl's manual (``--noproxy``), Go's golang.org/x/net/http/httpproxy.
"""

from __future__ import annotations

import ipaddress
import os
import re
import urllib.request
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from ..hosts.endpoints import is_loopback

_ENTRY: Final = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::(\d+))?")
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy: its ``address`` as a URL, and the ``variable`` that names it ("" where the system's settings do)."""

    address: str
    variable: str = ""

    @property
    def shown(self) -> str:
        """The address without name and password."""
        scheme, _, rest = self.address.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2].rstrip('/')}"


def proxy_of(origin: str) -> Proxy | None:
    """The proxy that the environment, or else the system, wants for this origin; never for this machine itself."""
    parts = urlsplit(origin)
    host = (parts.hostname or "").rstrip(".")
    if is_loopback(host) or host in ("0.0.0.0", "::"):
        return None
    said = urllib.request.getproxies_environment()
    if said:
        direct = bypasses(said.get("no", ""), host, parts.port or _PORTS.get(parts.scheme, 0))
    else:
        said, direct = urllib.request.getproxies(), bool(urllib.request.proxy_bypass(host))
    address = said.get(parts.scheme) or said.get("all")
    if direct or not address:
        return None
    names = (f"{parts.scheme}_proxy", "all_proxy")
    variable = next((name for name in os.environ if name.lower() in names and os.environ[name] == address), "")
    return Proxy(address if "://" in address else f"http://{address}", variable)


def bypasses(no_proxy: str, host: str, port: int) -> bool:
    """Whether a value of ``NO_PROXY`` takes this host out: ``*``, names with all below them, addresses, networks
    (``10.0.0.0/8``, ``fd00::/8``), each also with a port, parted by commas or spaces."""
    return any(_matches(entry, host.lower(), port) for entry in re.split(r"[,\s]+", no_proxy.lower()) if entry)


def _matches(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    name = entry
    if (parts := _ENTRY.fullmatch(entry)) is not None:  # not so an IPv6 address without brackets, which has no port
        name = parts[1] or parts[2]
        if parts[3] is not None and int(parts[3]) != port:
            return False
    address = address_of(host)
    if address is not None:
        try:
            network = ipaddress.ip_network(name.strip("[]"), strict=False)
        except ValueError:
            return False
        return address.version == network.version and address in network
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that ``host`` is; None for a name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
