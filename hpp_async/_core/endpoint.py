"""Where requests may go: the provider's hosts, base URLs, session URLs and session ids."""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from functools import cache
from typing import Final, Self
from urllib.parse import SplitResult, urlsplit

import attrs

from hpp_async._core.exceptions import ConfigurationError

_SESSIONS: Final = "/hpp/v1/sessions/"
_SESSION_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
# The characters of RFC 3986 but for the percent sign: no URL that is accepted here needs percent-encoding, and
# programs differ in what they decode.
_URL: Final = re.compile(r"[A-Za-z0-9:/?#\[\]@!$&'()*+,;=._~-]+", re.ASCII)
_Origin = tuple[str, str | None, int | None]
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


def is_session_id(text: str) -> bool:
    """Tell whether *text* can be a session id. Ids go into URLs, messages and logs, so other characters are refused."""
    return _SESSION_ID.fullmatch(text) is not None


def check_session_id(text: str) -> None:
    """
    Check that *text* can be a session id.

    Raises:
        ConfigurationError: *text* is empty, longer than 128 characters, or has other characters than an id.
    """
    if not is_session_id(text):
        raise ConfigurationError(
            f"session {text[:40]!r} is not a session id: ids are up to 128 letters, digits, '-' and '_'"
        )


class SessionHandle:
    """
    What stands for a session of the payment page because it has the session's id.

    `hpp_async.CreatedSession` is one. It is loaded only where it is used; this much is known of it everywhere.
    """

    __slots__ = ()

    session_id: str


class Endpoint(StrEnum):
    """
    The provider's hosts (API URLs page, and Kustom's).

    A session, its credentials and its host belong to the same region and environment.
    """

    EU_LIVE = "https://api.klarna.com"
    EU_PLAYGROUND = "https://api.playground.klarna.com"
    NA_LIVE = "https://api-na.klarna.com"
    NA_PLAYGROUND = "https://api-na.playground.klarna.com"
    OC_LIVE = "https://api-oc.klarna.com"
    OC_PLAYGROUND = "https://api-oc.playground.klarna.com"
    KUSTOM_LIVE = "https://api.kustom.co"
    KUSTOM_PLAYGROUND = "https://api.playground.kustom.co"

    @property
    def is_live(self) -> bool:
        """Whether real money moves here."""
        return not self.name.endswith("PLAYGROUND")

    @property
    def is_kustom(self) -> bool:
        """Whether it is Kustom's, which has checkout orders in place of payment sessions."""
        return self.name.startswith("KUSTOM")

    @property
    def quota(self) -> float:
        """How many requests per second the provider allows a merchant, all calls counted (rate limit page)."""
        return 200.0 if self.is_live else 50.0

    @property
    def creation_quota(self) -> float:
        """Sessions of each kind per second that a merchant may create; *quota* leaves them out (rate limit page)."""
        return 40.0 if self.is_live else 5.0


@attrs.frozen
class Target:
    """One base URL, from which sessions are read."""

    base_url: str
    """Without a slash at the end."""
    member: Endpoint | None
    """The `Endpoint` that has this host; ``None`` for another host, such as a simulator's."""
    _parts: SplitResult = attrs.field(repr=False)

    @classmethod
    def of(cls, endpoint: Endpoint | str) -> Self:
        """
        Check *endpoint*, which is an `Endpoint`, the name of one, or a base URL; return its target.

        Raises:
            ConfigurationError: *endpoint* is none of these. A base URL is an absolute https URL (http for loopback
                hosts only) without credentials, query and fragment.
        """
        if not isinstance(endpoint, str):
            raise ConfigurationError(f"endpoint={endpoint!r}: give an Endpoint member or a base URL")
        text = str(Endpoint[endpoint]) if endpoint in Endpoint.__members__ else str(endpoint)
        parts = _split(text.rstrip("/"))
        if parts is None or not parts.hostname or parts.scheme not in _DEFAULT_PORTS:
            # The text itself may hold credentials, so it is not repeated.
            raise ConfigurationError(
                f"endpoint: give one of {', '.join(Endpoint.__members__)}, or a base URL such as https://api.klarna.com"
            )
        if parts.username is not None or parts.query or parts.fragment:
            raise ConfigurationError("endpoint: give the base URL without credentials, query and fragment")
        if not all(0 < len(label) < 64 for label in parts.hostname.removesuffix(".").split(".")):
            # No resolver accepts such a name (RFC 1035), and with trio it would raise an error of trio's own.
            raise ConfigurationError(
                f"endpoint: {parts.hostname[:80]} is not a host name: each part has 1 to 63 characters"
            )
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ConfigurationError(
                f"endpoint: plain http to {parts.hostname} would show the credentials to the network: use https "
                "(http is for loopback hosts only)"
            )
        if _SESSIONS.rstrip("/") in parts.path:
            raise ConfigurationError("endpoint: give the base URL, without /hpp/v1/sessions")
        return cls(f"{parts.scheme}://{parts.netloc}{parts.path}", endpoint_of(text), parts)

    @property
    def host(self) -> str:
        """The host's name or address, without a port."""
        return self._parts.hostname or ""

    @property
    def authority(self) -> str:
        """Host and port as in the ``Host`` header: the default port of the scheme is left out."""
        parts = self._parts
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{host}" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{host}:{parts.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine and no other."""
        return is_loopback(self._parts.hostname or "")

    def is_origin_of(self, url: str) -> bool:
        """Tell whether *url* has the scheme, host and port of this endpoint, and no credentials in it."""
        parts = _split(url)
        return parts is not None and parts.username is None and _origin(parts) == _origin(self._parts)

    def session_id(self, session: str | SessionHandle) -> str:
        """
        Return the id of *session*: an id, a ``session_url`` of this endpoint, or a session that was created.

        Raises:
            ConfigurationError: *session* is an id with other characters, which could change the path of the request,
                or a URL with another scheme, host, port or path, to which the credentials must not go.
        """
        if isinstance(session, SessionHandle):
            session = session.session_id
        if not isinstance(session, str):
            raise ConfigurationError(f"session is a {type(session).__name__}: give a session id or a session_url")
        if is_session_id(session) or ("/" not in session and ":" not in session):
            check_session_id(session)
            return session
        parts = _split(session)
        if parts is None or not self.is_origin_of(session):
            raise ConfigurationError(
                f"the session_url is not on this client's endpoint {self.base_url}, so no credentials are sent to it: "
                "use a client for the region and environment in which the session was created"
            )
        prefix = self._parts.path + _SESSIONS
        session_id = parts.path.removeprefix(prefix)
        if parts.query or parts.fragment or not parts.path.startswith(prefix) or not is_session_id(session_id):
            raise ConfigurationError(
                f"the session_url is not of the form {self.base_url}{_SESSIONS}<session_id>: pass session_url as the "
                "create answer gave it, or the session_id alone"
            )
        return session_id

    def url(self, session_id: str) -> str:
        """Return the URL at which the session is read."""
        return f"{self.base_url}{_SESSIONS}{session_id}"


def endpoint_of(url: str) -> Endpoint | None:
    """Return the member whose host *url* is on, if it is on one."""
    return _members().get(_origin(_split(url)))


@cache
def _members() -> dict[_Origin | None, Endpoint]:
    return {_origin(_split(member.value)): member for member in Endpoint}


def _split(text: str) -> SplitResult | None:
    # urlsplit drops tabs and newlines and keeps other odd characters, so these are refused first.
    if not _URL.fullmatch(text):
        return None
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - a property that raises on a bad port
    except ValueError:
        return None
    return parts


def _origin(parts: SplitResult | None) -> _Origin | None:
    return None if parts is None else (parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme))


def is_loopback(host: str) -> bool:
    """Tell whether *host* (a name, or an address without brackets) can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
