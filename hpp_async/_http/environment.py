"""The proxies and certificates that the environment names, read once, when a client is made."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.request import getproxies

import attrs
import httpx

from hpp_async._core.endpoint import Target, is_loopback
from hpp_async._core.exceptions import ConfigurationError
from hpp_async._http.family import Family

_KINDS: Final = ("http", "https", "all")
_SCHEMES: Final = ("http", "https", "socks5", "socks5h")
_SHOWN: Final = re.compile(r"[A-Za-z0-9.:\[\]/*_-]{1,80}", re.ASCII)
_HASHED: Final = re.compile(r"[0-9a-f]{8}\.\d+", re.ASCII)
"""The names that OpenSSL expects of the files in a directory of certificates."""


@attrs.frozen(eq=False)
class Environment:
    """
    How to connect: which certificates to trust, and through which proxy, if any.

    Neither is in the ``repr``: the proxy may hold a password.
    """

    ssl_context: ssl.SSLContext = attrs.field(repr=False)
    proxy: httpx.Proxy | None = attrs.field(default=None, repr=False)

    @classmethod
    def of(cls, target: Target, family: Family) -> Environment:
        """
        Read the environment as *family* would, for connections to *target*.

        A loopback target gets no proxy: what is sent there unencrypted must not leave the machine.

        Raises:
            ConfigurationError: httpx could not use a variable. The message names it, and holds no secret.
        """
        # Checked first, in functions that do not raise: a frame that raises must have no passwords among its locals.
        refusal = _refusal(getproxies())
        if refusal is not None:
            raise ConfigurationError(refusal)
        return cls(_ssl_context(family), _proxy_for(httpx.URL(target.base_url), getproxies()))


# -- proxies -------------------------------------------------------------------------------------------------------


def _refusal(found: Mapping[str, str]) -> str | None:
    """Return what is wrong with *found*, the proxy settings by kind; ``None`` if nothing is."""
    if "*" in _exempt(found):
        return None
    wrong = [refusal for kind in _KINDS if found.get(kind) and (refusal := _refusal_of(kind, found[kind]))]
    wrong += [
        f"{_variable('no')} has an entry that httpx cannot read{f': {entry}' if _SHOWN.fullmatch(entry) else ''}; give "
        "names and addresses, separated by commas, IPv6 addresses without brackets, and no IPv6 networks"
        for entry in _exempt(found)
        if _pattern(entry) is None
    ]
    return next(iter(wrong), None)


def _refusal_of(kind: str, value: str) -> str | None:
    proxy = _proxy(value)
    if proxy is None:
        return (
            f"{_variable(kind)} is not a proxy that can be used: give http://, https:// or socks5://, a host and a "
            "port, such as http://proxy.example:3128, or unset it"
        )
    if proxy.url.scheme.startswith("socks") and find_spec("socksio") is None:
        return (
            f"{_variable(kind)} names a SOCKS proxy, for which the package socksio is missing: "
            "pip install 'httpx[socks]', or unset it"
        )
    return None


def _proxy_for(url: httpx.URL, found: Mapping[str, str]) -> httpx.Proxy | None:
    entries = _exempt(found)
    if is_loopback(url.host) or "*" in entries or any(_matches(_pattern(entry), url) for entry in entries):
        return None
    value = found.get(url.scheme) or found.get("all")
    return None if value is None else _proxy(value)


def _exempt(found: Mapping[str, str]) -> list[str]:
    return [entry.strip() for entry in found.get("no", "").split(",") if entry.strip()]


def _proxy(value: str) -> httpx.Proxy | None:
    try:
        proxy = httpx.Proxy(value if "://" in value else f"http://{value}")
    except (httpx.InvalidURL, ValueError):
        return None
    host, port = proxy.url.host, proxy.url.port
    is_whole = proxy.url.scheme in _SCHEMES and host != "" and "%" not in host and (port or 0) < 65536
    return proxy if is_whole else None


def _pattern(entry: str) -> httpx.URL | None:
    """
    Return *entry* of NO_PROXY as httpx reads it; ``None`` if httpx cannot.

    It is a host, which may begin with ``*`` for any beginning, and it may have a scheme and a port.
    """
    try:
        if "://" in entry:
            return httpx.URL(entry)
        if _is_address(entry, ipaddress.IPv6Address):
            return httpx.URL(f"all://[{entry}]")
        is_exact = _is_address(entry, ipaddress.IPv4Address) or entry.lower() == "localhost"
        return httpx.URL(f"all://{entry}" if is_exact else f"all://*{entry}")
    except (httpx.InvalidURL, ValueError):
        return None


def _is_address(text: str, kind: type[ipaddress.IPv4Address | ipaddress.IPv6Address]) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def _matches(pattern: httpx.URL | None, url: httpx.URL) -> bool:
    if pattern is None or pattern.scheme not in ("all", "", url.scheme) or pattern.port not in (None, url.port):
        return False
    host = pattern.host
    if host in ("", "*"):
        return True
    if host.startswith("*."):
        return url.host.endswith(host[1:])
    if host.startswith("*"):
        return url.host == host[1:] or url.host.endswith(f".{host[1:]}")
    return url.host == host


def _variable(kind: str) -> str:
    """Return the name of the variable that holds the setting. Lower case takes precedence, as in urllib."""
    name = f"{kind}_proxy"
    return next((name for name in (name, name.upper()) if os.environ.get(name)), "the system's proxy setting")


# -- certificates --------------------------------------------------------------------------------------------------


def _ssl_context(family: Family) -> ssl.SSLContext:
    file, directory = (os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    if not file and directory and not _has_certificates(directory):
        # OpenSSL would read the directory at each connection, and report no error.
        raise ConfigurationError(
            "SSL_CERT_DIR is not a directory with certificates that are named by their hashes, as 'openssl rehash' "
            "names them: correct or unset it"
        )
    try:
        context = family.ssl_context()
    except OSError as error:
        raise ConfigurationError(f"{_blamed_for(error)}: correct or unset it") from None
    return context


def _has_certificates(directories: str) -> bool:
    return any(
        _HASHED.fullmatch(path.name)
        for directory in directories.split(os.pathsep)
        if Path(directory).is_dir()
        for path in Path(directory).iterdir()
    )


def _blamed_for(error: OSError) -> str:
    reason = "it holds no certificate in PEM format" if isinstance(error, ssl.SSLError) else error.strerror
    file = os.environ.get("SSL_CERT_FILE")
    if file:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
        except OSError:
            return f"SSL_CERT_FILE cannot be used ({reason})"
    return f"SSLKEYLOGFILE cannot be used ({reason})"
