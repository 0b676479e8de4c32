"""
What may become of an answer on the wire.

Each fault is a small function, and has its name in a table: what becomes of a request is data, scripted or drawn from a
seed.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Final

import anyio
from exchange import LEAK, Exchange, Fault, Line, named
from support.servers import wire

GIGABYTE: Final = 2**30
_PIECE: Final = 2**16

# -- broken off --------------------------------------------------------------------------------------------------------


def _cut(part: Callable[[Exchange], tuple[int, int]], end: Callable[[Line], Awaitable[None]]) -> Fault:
    """Send the answer as far as somewhere within *part*, then come to *end*."""

    async def fault(exchange: Exchange) -> None:
        await exchange.line.send(wire(exchange.answer)[: exchange.draw.randrange(*part(exchange))])
        await end(exchange.line)

    return fault


_PARTS: Final[dict[str, Callable[[Exchange], tuple[int, int]]]] = {
    "before the answer": lambda _: (0, 1),
    "in the status line": lambda _: (1, 15),
    "in the header": lambda exchange: (20, len(exchange.head) - 2),
    "before the body": lambda exchange: (len(exchange.head), len(exchange.head) + 1),
    "in the body": lambda exchange: (len(exchange.head) + 1, len(exchange.head) + len(exchange.body)),
}
_ENDS: Final = {"closed": Line.close, "reset": Line.reset, "stalled": Line.hang}

BROKEN_OFF: Final = {f"{end} {part}": _cut(_PARTS[part], _ENDS[end]) for end in _ENDS for part in _PARTS}


async def _dribble(line: Line, data: bytes, pause: float = 0.01) -> None:
    for index in range(len(data)):
        await line.send(data[index : index + 1])
        await anyio.sleep(pause)


async def dribbled_header(exchange: Exchange) -> None:
    await _dribble(exchange.line, exchange.head)


async def dribbled_body(exchange: Exchange) -> None:
    await exchange.line.send(exchange.head)
    await _dribble(exchange.line, exchange.body)


# -- wrong lengths -----------------------------------------------------------------------------------------------------


def _framed(framing: str, body: Callable[[bytes], bytes] = lambda body: body) -> Fault:
    async def fault(exchange: Exchange) -> None:
        await exchange.frame(framing, body(exchange.body))
        await exchange.line.close()

    return fault


def _chunk(body: bytes, extension: bytes = b"") -> bytes:
    return b"%x%b\r\n%b\r\n" % (len(body), extension, body)


_CHUNKED: Final = "Transfer-Encoding: chunked"


async def length_too_short(exchange: Exchange) -> None:
    await exchange.frame(f"Content-Length: {len(exchange.body) - 20}", exchange.body)


async def length_too_long(exchange: Exchange) -> None:
    await exchange.frame(f"Content-Length: {len(exchange.body) + 20}", exchange.body)
    await exchange.line.hang()


FRAMING: Final[dict[str, Fault]] = {
    "length too short": length_too_short,
    "length too long": length_too_long,
    "length too long, closed": _framed("Content-Length: 99999"),
    "length negative": _framed("Content-Length: -1"),
    "length a word": _framed("Content-Length: long"),
    "length of 99 digits": _framed(f"Content-Length: {'9' * 99}"),
    "two lengths": _framed("Content-Length: 10\r\nContent-Length: 20"),
    "chunk size a word": _framed(_CHUNKED, lambda body: LEAK + b"\r\n" + body),
    "chunk size negative": _framed(_CHUNKED, lambda body: b"-1\r\n" + body),
    "chunk size beyond memory": _framed(_CHUNKED, lambda body: b"fffffffffffffff\r\n" + body),
    "chunk without its end": _framed(_CHUNKED, lambda body: b"5\r\n" + body),
    "chunks without an end": _framed(_CHUNKED, _chunk),
    "chunk extension flood": _framed(_CHUNKED, lambda body: _chunk(body, b";" + b"x" * 2**20)),
    "trailer flood": _framed(_CHUNKED, lambda body: _chunk(body) + b"0\r\n" + b"X-Y: z\r\n" * 2**17 + b"\r\n"),
    "coded in an unknown way": _framed("Transfer-Encoding: zstd"),
}


# -- wrong bodies ------------------------------------------------------------------------------------------------------


def _said(change: Callable[[Exchange], bytes], *, status: int = 200, **headers: str) -> Fault:
    async def fault(exchange: Exchange) -> None:
        await exchange.say(change(exchange), status=status, more=named(**headers))

    return fault


_HTML: Final = b"<!doctype html><title>Sorry</title><p>" + LEAK


@cache
def _bomb(pack: Callable[[bytes], bytes]) -> bytes:
    return pack(b'{"status": "COMPLETED", "x": "' + b" " * (64 * 2**20) + b'"}')


async def no_content(exchange: Exchange) -> None:
    await exchange.line.send(b"HTTP/1.1 204 No Content\r\n\r\n")


BODIES: Final[dict[str, Fault]] = {
    "JSON cut short": _said(lambda exchange: exchange.body[:-1]),
    "JSON cut in the middle": _said(lambda exchange: exchange.body[: len(exchange.body) // 2]),
    "JSON and more": _said(lambda exchange: exchange.body + b"}"),
    "JSON a list": _said(lambda exchange: b"[" + exchange.body + b"]"),
    "JSON a string": _said(lambda _: b'"COMPLETED"'),
    "JSON null": _said(lambda _: b"null"),
    "JSON nested without end": _said(lambda _: b'{"status":' + b"[" * 500_000),
    "an empty object": _said(lambda _: b"{}"),
    "an error that says 200": _said(lambda _: b'{"error_code": "X", "error_messages": ["' + LEAK + b'"]}'),
    "no status": _said(lambda exchange: exchange.fields(status=None)),
    "status a number": _said(lambda exchange: exchange.fields(status=200)),
    "status an object": _said(lambda exchange: exchange.fields(status={"COMPLETED": True})),
    "status blank": _said(lambda exchange: exchange.fields(status=" ")),
    "status of a megabyte": _said(lambda exchange: exchange.fields(status="C" * 900_000)),
    "HTML": _said(lambda _: _HTML, Content_Type="text/html"),
    "text": _said(lambda _: b"COMPLETED " + LEAK, Content_Type="text/plain"),
    "nothing": _said(lambda _: b""),
    "204": no_content,
    "another session": _said(lambda exchange: exchange.fields(session_id="another", status="COMPLETED")),
    "packed badly": _said(lambda exchange: exchange.body, Content_Encoding="gzip"),
    "packed and cut": _said(lambda exchange: gzip.compress(exchange.body)[:40], Content_Encoding="gzip"),
    "packed twice": _said(lambda exchange: gzip.compress(gzip.compress(exchange.body)), Content_Encoding="gzip, gzip"),
    "packed as Brotli": _said(lambda exchange: exchange.body, Content_Encoding="br"),
    "packed bomb": _said(lambda _: _bomb(gzip.compress), Content_Encoding="gzip"),
    "deflated bomb": _said(lambda _: _bomb(zlib.compress), Content_Encoding="deflate"),
}


# -- too much ----------------------------------------------------------------------------------------------------------


async def _flood(line: Line, piece: bytes) -> None:
    for _ in range(GIGABYTE // len(piece)):
        await line.send(piece)


def _endless(start: str, piece: bytes) -> Fault:
    async def fault(exchange: Exchange) -> None:
        await exchange.line.send(start.encode())
        await _flood(exchange.line, piece)

    return fault


FLOODS: Final[dict[str, Fault]] = {
    "a gigabyte": _endless(f"HTTP/1.1 200 OK\r\nContent-Length: {GIGABYTE}\r\n\r\n", b" " * _PIECE),
    "a gigabyte in chunks": _endless(f"HTTP/1.1 200 OK\r\n{_CHUNKED}\r\n\r\n", _chunk(b" " * _PIECE)),
    "a gigabyte in chunks of one": _endless(f"HTTP/1.1 200 OK\r\n{_CHUNKED}\r\n\r\n", _chunk(b" ") * 2**10),
    "a gigabyte until the close": _endless("HTTP/1.0 200 OK\r\n\r\n", b" " * _PIECE),
    "a gigabyte, packed": _endless(
        f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {GIGABYTE}\r\n\r\n", b"\0" * _PIECE
    ),
    "a gigabyte of a header": _endless("HTTP/1.1 200 OK\r\nX-Long: ", b"x" * _PIECE),
    "a gigabyte of headers": _endless("HTTP/1.1 200 OK\r\n", b"X-Many: x\r\n" * 2**12),
    "a gigabyte of a status line": _endless("HTTP/1.1 200 ", b"x" * _PIECE),
    "a gigabyte of white space": _endless("", b"\r\n" * 2**15),
    "a gigabyte of an error page": _endless(f"HTTP/1.1 503 X\r\nContent-Length: {GIGABYTE}\r\n\r\n", b" " * _PIECE),
}


async def endless_continue(exchange: Exchange) -> None:
    while True:
        await exchange.line.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await anyio.sleep(0.002)


# -- not the protocol --------------------------------------------------------------------------------------------------


def _raw(data: bytes, *, is_closed: bool = True) -> Fault:
    async def fault(exchange: Exchange) -> None:
        await exchange.line.send(data)
        if is_closed:
            await exchange.line.close()

    return fault


LEAKY_HEADER: Final = b"X-" + LEAK

STRANGERS: Final[dict[str, Fault]] = {
    "an SSH banner": _raw(b"SSH-2.0-OpenSSH_9.2 " + LEAK + b"\r\n"),
    "HTTP/0.9": _raw(_HTML),
    "an HTTP/2 frame": _raw(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)),
    "a TLS alert": _raw(b"\x15\x03\x01\x00\x02\x02\x46"),
    "a header without a colon": _raw(b"HTTP/1.1 200 OK\r\n" + LEAKY_HEADER + b"\r\n\r\n"),
    "a header with a NUL": _raw(b"HTTP/1.1 200 OK\r\nX: \0" + LEAK + b"\r\nContent-Length: 0\r\n\r\n"),
    "a status of two digits": _raw(b"HTTP/1.1 20 OK\r\n\r\n"),
    "a status that is none": _raw(b"HTTP/1.1 OK " + LEAK + b"\r\n\r\n"),
}


# -- statuses ----------------------------------------------------------------------------------------------------------


def _redirect(status: int) -> Fault:
    async def fault(exchange: Exchange) -> None:
        await exchange.say(_HTML, status=status, Location=f"{exchange.elsewhere}/hpp/v1/sessions/x")

    return fault


def _error(status: int) -> Fault:
    body = b'{"error_code": "X", "error_messages": ["' + LEAK + b'"], "correlation_id": "c-1"}'
    return _said(lambda _: body, status=status)


def _error_page(status: int) -> Fault:
    return _said(lambda _: _HTML, status=status, Content_Type="text/html")


REDIRECTS: Final = {f"redirect {status}": _redirect(status) for status in (301, 302, 303, 307, 308)}
REFUSALS: Final = {
    "304": _raw(b"HTTP/1.1 304 Not Modified\r\n\r\n", is_closed=False),
    "101": _raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + LEAK),
    **{str(status): _error(status) for status in (300, 400, 405, 407, 418, 451)},
}
NOT_PROCESSED: Final = {str(status): _error(status) for status in (408, 421, 425)}
SERVER_ERRORS: Final = {
    **{str(status): _error(status) for status in (500, 501, 502, 503, 504, 599)},
    **{f"{status} as a page": _error_page(status) for status in (500, 502, 503)},
}
THROTTLES: Final = {"429": _error(429), "429 as a page": _error_page(429)}


# -- odd, and right all the same ---------------------------------------------------------------------------------------


async def _before(exchange: Exchange, data: bytes) -> None:
    await exchange.line.send(data + wire(exchange.answer))


async def until_the_close(exchange: Exchange) -> None:
    await exchange.line.send(b"HTTP/1.0 200 OK\r\n\r\n" + exchange.body)
    await exchange.line.close()


async def in_small_pieces(exchange: Exchange) -> None:
    await _dribble(exchange.line, wire(exchange.answer), pause=0.0)


async def folded_header(exchange: Exchange) -> None:
    await exchange.line.send(exchange.head[:-2] + b"X-Folded: a\r\n  b\r\n\r\n" + exchange.body)


ODDITIES: Final[dict[str, Fault]] = {
    "100 first": lambda exchange: _before(exchange, b"HTTP/1.1 100 Continue\r\n\r\n"),
    "103 first": lambda exchange: _before(exchange, b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3),
    "until the close": until_the_close,
    "in small pieces": in_small_pieces,
    "a folded header": folded_header,
    "chunked": lambda exchange: exchange.frame(_CHUNKED, _chunk(exchange.body) + b"0\r\n\r\n"),
    "chunked one by one": lambda exchange: exchange.frame(
        _CHUNKED, b"".join(_chunk(bytes([byte])) for byte in exchange.body) + b"0\r\n\r\n"
    ),
    "chunked with trimmings": lambda exchange: exchange.frame(
        _CHUNKED, _chunk(exchange.body, b";a=b") + b"0\r\nX-Trailer: x\r\n\r\n"
    ),
    "chunked with a length": lambda exchange: exchange.frame(
        f"{_CHUNKED}\r\nContent-Length: 3", _chunk(exchange.body) + b"0\r\n\r\n"
    ),
    "the same length twice": lambda exchange: exchange.frame(
        f"Content-Length: {len(exchange.body)}, {len(exchange.body)}", exchange.body
    ),
    "gzip": lambda exchange: exchange.say(gzip.compress(exchange.body), Content_Encoding="gzip"),
    "deflate": lambda exchange: exchange.say(zlib.compress(exchange.body), Content_Encoding="Deflate"),
    "UTF-16": _said(lambda exchange: exchange.body.decode().encode("utf-16")),
    "a byte order mark": _said(lambda exchange: b"\xef\xbb\xbf" + exchange.body),
    "bad UTF-8 in a name": _said(lambda exchange: exchange.body.replace(b"Secretsson", b"\xff\xfe")),
    "a control character in a name": _said(lambda exchange: exchange.body.replace(b"Secretsson", b"\x01")),
    "a number beyond floats": _said(lambda exchange: exchange.body[:-1] + b', "x": 1' + b"0" * 5000 + b"}"),
    "an id in another case": _said(
        lambda exchange: exchange.fields(session_id=str(json.loads(exchange.body)["session_id"]).upper())
    ),
    "no id": _said(lambda exchange: exchange.fields(session_id=None)),
    "no reason": lambda exchange: exchange.line.send(wire(exchange.answer).replace(b"200 X", b"200", 1)),
    "203": lambda exchange: exchange.say(exchange.body, status=203),
    "a broken Date": lambda exchange: exchange.say(exchange.body, Date="yesterday"),
    "headers in Latin-1": lambda exchange: exchange.line.send(
        wire(exchange.answer).replace(b"\r\n", b"\r\nX-Name: \xe5\xe4\xf6\r\nSet-Cookie: a=b\r\n", 1)
    ),
    "closed after it": lambda exchange: exchange.say(exchange.body, Connection="close"),
}

FAULTS: Final[dict[str, Fault]] = {
    **BROKEN_OFF,
    "dribbled header": dribbled_header,
    "dribbled body": dribbled_body,
    **FRAMING,
    **BODIES,
    **FLOODS,
    "1xx without end": endless_continue,
    **STRANGERS,
    **REDIRECTS,
    **REFUSALS,
    **NOT_PROCESSED,
    **SERVER_ERRORS,
    **THROTTLES,
}


# -- replicas ----------------------------------------------------------------------------------------------------------


async def by_a_replica_behind(exchange: Exchange) -> None:
    """Answer as some time before, freshly dated: as a replica that has not heard yet."""
    behind = exchange.draw.choice(exchange.earlier or (exchange.answer,))
    await exchange.say(behind.body)


async def closed_as_it_is_reused(exchange: Exchange) -> None:
    """Answer the first request on a connection, and close it on whatever comes second."""
    if exchange.line.requests == 1:
        await exchange.line.send(wire(exchange.answer))
    else:
        await exchange.draw.choice((exchange.line.close, exchange.line.reset))()


async def answered_twice(exchange: Exchange) -> None:
    await exchange.line.send(wire(exchange.answer) * 2)
