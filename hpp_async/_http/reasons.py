"""Why no answer came, in our own words: the one place that interprets the errors of httpx and what lies below it."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterator, Set
from typing import Final, cast

import attrs

from hpp_async._core.exceptions import HPPError, TransportReason
from hpp_async._http.family import names_of

_NO_ROUTE: Final = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN}
_EXPECTED: Final = {"HTTPError", "InvalidURL", "StreamError"}
_DROPPED: Final = {"RemoteProtocolError", "ReadError", "WriteError"}
_HUNG_UP: Final = ("Server disconnected", "peer closed connection", "<ConnectionTerminated", "<StreamReset")
"""
How the messages of a `RemoteProtocolError` begin if the other side ended the connection, or its part for the request.

The last two are of HTTP/2, which a lent client may use. All other messages of a `RemoteProtocolError` mean that what
came is not HTTP.
"""

_BEFORE_TLS: Final = {"name", "refused", "unreachable", "silence"}
"""Reasons why no TCP connection is made: if there is a proxy, they concern the proxy."""

_STATUS: Final = re.compile(r"\d{3}\b")
_SAID: Final = re.compile(r"[A-Za-z0-9 ,.:;'()_-]{1,160}", re.ASCII)


@attrs.frozen(kw_only=True)
class NoAnswer:
    """
    Why no answer came.

    Attributes:
        reason: the kind of failure, to branch on.
        message: the reason in words, for the message of an error.
        is_dropped: whether the connection ended while it was used for the request, or what came was not HTTP.
        cause: the exception; ``None`` if it may quote a part of what was received. Its traceback is removed, because
            the frames in it hold the headers of the request, and error reporters print the locals of frames.
    """

    reason: TransportReason
    message: str
    is_dropped: bool = False
    cause: Exception | None = None


def silence(host: str, seconds: float) -> NoAnswer:
    """Return why no answer came if an exchange with *host* was not over after *seconds*."""
    return NoAnswer(reason="silence", message=f"no complete answer from {host} within {seconds:g} s")


def cancelled(host: str) -> NoAnswer:
    """Return why no answer came if a request to *host* ended by a cancellation that was not for the client's task."""
    return NoAnswer(reason="other", message=f"no answer: the request to {host} was cancelled by a hook or a transport")


def no_answer(error: Exception, *, host: str, proxy: str | None) -> NoAnswer | None:
    """
    Return why no answer came if an exchange with *host*, through *proxy* if there is one, raised *error*.

    Return ``None`` if *error* has nothing to do with the network, because a hook of a lent client raised it.
    """
    reason: TransportReason
    if isinstance(error, AttributeError) and _is_raised_in(error, "anyio"):
        # On uvloop, if a connection is closed as soon as it is made, anyio reads the peer's name from None.
        reason, said, name = "reset", f"the connection to {host} is gone", type(error).__name__
    elif isinstance(error, OSError) or _is_a(error, _EXPECTED) or _is_of_aiohttp(error):
        reason, said = _reason(error, host, proxy)
        name = _name_of(error)
    else:
        return None
    return NoAnswer(
        reason=reason,
        message=f"no answer: {said} ({name})",
        is_dropped=_is_a(error, _DROPPED),
        cause=None if _is_quoting(error) else _without_frames(error),
    )


def _reason(error: Exception, host: str, proxy: str | None) -> tuple[TransportReason, str]:
    is_connecting = _is_a(error, {"ConnectError", "ConnectTimeout"})
    if type(error.__cause__).__name__ == "ClientProxyConnectionError":  # aiohttp's
        proxy = "of the lent client"
    for one in _chain(error):
        found = _reason_of(one, host)
        if found is None:
            continue
        if proxy is not None and is_connecting and found[0] in _BEFORE_TLS:
            _, said = _reason_of(one, f"the proxy {proxy}") or found
            return "proxy", said
        return found
    return "other", f"the request to {host} failed"


def _reason_of(error: BaseException, host: str) -> tuple[TransportReason, str] | None:
    """Return the reason that one exception of a chain shows, and its words; ``None`` if it shows none."""
    match error:
        case _ if _is_a(error, {"ProxyError"}):
            return "proxy", _said_by_proxy(error)
        case ssl.SSLCertVerificationError():
            return "certificate", f"the certificate of {host} is not accepted: {_plain(error.verify_message)}"
        case ssl.SSLWantReadError() | ssl.SSLWantWriteError():
            return None  # it only says that the TLS handshake was still under way
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return "reset", f"{host} closed the connection"
        case ssl.SSLError():
            words = str(getattr(error, "reason", None) or "failed").replace("_", " ").lower()
            return "tls", f"no TLS connection with {host}: {_plain(words)}"
        case socket.gaierror():
            return "name", f"the host name of {host} cannot be resolved"
        case ConnectionRefusedError():
            return "refused", f"{host} refused the connection; is anything listening there?"
        case ConnectionError():
            return "reset", f"{host} reset the connection"
        case OSError(errno=number) if number in _NO_ROUTE:
            return "unreachable", f"there is no network route to {host} from here"
        case TimeoutError():
            return "silence", f"nothing came from {host} in time"
        case _ if _is_a(error, {"RemoteProtocolError"}):
            if str(error).startswith(_HUNG_UP):
                return "reset", f"{host} closed the connection"
            return "protocol", f"{host} answered with something that is not HTTP"
        case _ if _is_a(error, {"NetworkError"}) and not _is_a(error, {"ConnectError"}):
            return "reset", f"the connection to {host} broke"
        case _ if _is_a(error, {"TimeoutException"}):
            return "silence", f"nothing came from {host} in time"
        case _ if _is_of_aiohttp(error) and "Disconnected" in type(error).__name__:
            return "reset", f"{host} closed the connection"
        case _:
            return None


def _said_by_proxy(error: BaseException) -> str:
    status = _STATUS.match(str(error))
    if status is not None and status[0] == "407":
        return "the proxy asks for a password (407); put it into the proxy's URL"
    return "the proxy did not connect" + ("" if status is None else f" ({status[0]})")


def _plain(text: str) -> str:
    """Return the beginning of *text*, up to the first character that is not safe in a log."""
    found = _SAID.match(text)
    return "no reason given" if found is None else found[0].strip(" .")


def _chain(error: BaseException, *seen: BaseException) -> Iterator[BaseException]:
    """Yield *error* and the exceptions that it came from, innermost first; not the failure of an earlier attempt."""
    before = error.__cause__ or error.__context__
    # The chain may be a ring: respx raises an error from another one that came from it.
    if before is not None and not isinstance(before, HPPError) and all(before is not one for one in (*seen, error)):
        yield from _chain(before, *seen, error)
    is_group = isinstance(error, BaseExceptionGroup)
    for one in cast("BaseExceptionGroup[BaseException]", error).exceptions if is_group else ():
        yield from _chain(one, *seen, error)
    yield error


def _without_frames(error: Exception) -> Exception:
    for one in _chain(error):
        one.__traceback__ = None
    return error


def _is_raised_in(error: Exception, package: str) -> bool:
    """Tell whether code of *package* raised *error*, rather than a hook of a lent client."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and str(traceback.tb_frame.f_globals.get("__name__")).startswith(f"{package}.")


def _name_of(error: Exception) -> str:
    """Return the class name of the error, or of aiohttp's own: httpx-aiohttp reports a hang-up as a timeout."""
    return type(error.__cause__ if _is_of_aiohttp(error.__cause__) else error).__name__


def _is_quoting(error: Exception) -> bool:
    """Tell whether the message of *error* may quote what was received, which may be a part of a body."""
    if _is_a(error, {"ProtocolError"}) or _is_of_aiohttp(error):
        return True
    return _is_of_aiohttp(error.__cause__) and not isinstance(error.__cause__, OSError)


def _is_a(error: BaseException, names: Set[str]) -> bool:
    """Tell whether *error* is one of these of httpx, or of httpx2, which has the same names."""
    return not names.isdisjoint(names_of(error))


def _is_of_aiohttp(error: BaseException | None) -> bool:
    return type(error).__module__.startswith("aiohttp.")
