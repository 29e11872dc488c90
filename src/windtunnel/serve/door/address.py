"""Where it is listened: this machine alone, or the network."""

from __future__ import annotations

import ipaddress
import socket
from functools import lru_cache

from windtunnel.errors import InvalidInputError


def is_loopback(host: str, port: int = 0) -> bool:
    """Whether only this machine can reach the address. Raises InvalidInputError where there is no such address."""
    if not host:
        return False  # all of this machine's addresses
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InvalidInputError(f"{host}:{port}", f"cannot be listened on: {getattr(error, 'strerror', None) or error}") from None
    return all(ipaddress.ip_address(str(address[4][0]).partition("%")[0]).is_loopback for address in found)


@lru_cache(maxsize=256)
def names_this_machine(host: str) -> bool:
    """Whether a ``Host`` header is one of the names by which only this machine calls itself."""
    name = host_name(host)
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def host_name(host: str) -> str:
    """A ``Host`` header without its port, in lower case."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")
