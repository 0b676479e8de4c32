"""The payment page at ``redirect_url``, what a consumer can do there, and its QR code."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from io import BytesIO
from typing import Final

import attrs
import httpx
import segno
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from hpp_async import FINAL, SessionStatus
from hpp_async._provider.callbacks import filled
from hpp_async._provider.requests import PAGES, page_path
from hpp_async.simulator._cart import MOST_LINES, shown_cart, ways_to_pay
from hpp_async.simulator._html import asks_to_refresh, form, page
from hpp_async.simulator._records import session_record
from hpp_async.simulator._refusals import RefusedError, base_url_of
from hpp_async.testing import (
    Act,
    Life,
    Provider,
    SessionOverError,
    cancels,
    declines,
    errors,
    goes_back,
    opens,
    pays,
    retries,
    returns,
    vanishes,
)


@attrs.frozen
class _Button:
    act: Act
    label: str
    hint: str


_PAYING: Final = (
    _Button(pays, "Pay", "COMPLETED: the payment is authorized."),
    _Button(declines, "Be declined", "FAILED: the session stays open for a retry."),
    _Button(errors, "Have an error", "ERROR: the session stays open for a retry."),
)
_LEAVING: Final = (
    _Button(goes_back, "Go back to the shop", "BACK: you can return to this page."),
    _Button(cancels, "Cancel", "CANCELLED: this is final."),
    _Button(vanishes, "Close the tab", "The status stays as it is until you open this page again."),
)
_TAKING_OVER: Final = (_Button(opens, "Take over", "The script stops, and you continue in its place."),)
_RETRYING: Final = (_Button(retries, "Try again", "IN_PROGRESS again."),)
_ACTS: Final = {button.act.word: button.act for button in (*_PAYING, *_LEAVING, *_TAKING_OVER, *_RETRYING)}
_ALL: Final = (*_PAYING, *_LEAVING)
_RETRIED: Final = frozenset({SessionStatus.FAILED, SessionStatus.ERROR})
_LEFT: Final = frozenset({goes_back.word, vanishes.word})

_OPENING: Final[Mapping[str, Act]] = {SessionStatus.WAITING: opens, SessionStatus.BACK: returns}
"""The act of opening the page in each status; after a decline or an error, opening it changes nothing."""

_URLS: Final[Mapping[str, str]] = {
    SessionStatus.COMPLETED: "success",
    SessionStatus.FAILED: "failure",
    SessionStatus.ERROR: "error",
    SessionStatus.BACK: "back",
    SessionStatus.CANCELLED: "cancel",
}
"""The ``merchant_urls`` to which the consumer is sent, by the session's status."""

_MEANINGS: Final[Mapping[str, str]] = {
    SessionStatus.WAITING: "Nobody has opened the payment page yet.",
    SessionStatus.IN_PROGRESS: "The payment page is open.",
    SessionStatus.COMPLETED: "The payment is authorized.",
    SessionStatus.FAILED: "The payment was declined. You can try again.",
    SessionStatus.ERROR: "The payment ended in an error. You can try again.",
    SessionStatus.BACK: "You went back to the shop. You can return here.",
    SessionStatus.CANCELLED: "You cancelled the payment.",
    SessionStatus.DISABLED: "The shop has disabled this session.",
}


def payment_routes(provider: Provider) -> list[Route]:
    """Return the routes of *provider*'s payment pages, which need no credentials."""

    def life_of(request: Request) -> Life:
        path = f"{PAGES}/{request.path_params['key']}"
        for life in [provider.life(session_id) for session_id in provider.sessions]:
            if page_path(life.session_id) == path and not life.is_forgotten(provider.now()):
                return life
        raise RefusedError(404, "No session has this payment page.")

    async def opened(request: Request) -> Response:
        life = life_of(request)
        moment = provider.now()
        act = _OPENING.get(life.status(moment))
        if act is not None and request.method == "GET" and not _is_scripted(life, moment):
            with suppress(SessionOverError):
                provider.act(life.session_id, act)
        return _shown(provider, life, is_refreshed=asks_to_refresh(request))

    async def acted(request: Request) -> Response:
        word = (await form(request)).get("act", "")
        life = life_of(request)
        if word not in _ACTS:
            return _shown(provider, life, 400)
        try:
            provider.act(life.session_id, _ACTS[word])
        except SessionOverError:
            return _shown(provider, life, 409)
        exit_ = _exit(life, provider.now())
        if exit_ is not None and exit_.origin is not None and word != vanishes.word:
            return RedirectResponse(exit_.url, 303)
        here = page_path(life.session_id)
        return RedirectResponse(f"{here}/left" if word in _LEFT else here, 303)

    async def left(request: Request) -> Response:
        return _shown(provider, life_of(request), has_left=True)

    async def qr_code(request: Request) -> Response:
        picture = BytesIO()
        segno.make_qr(f"{base_url_of(request, provider)}{page_path(life_of(request).session_id)}").save(
            picture, kind="png", scale=8
        )
        return Response(picture.getvalue(), media_type="image/png", headers={"Cache-Control": "no-store"})

    return [
        Route(f"{PAGES}/{{key}}/qr", qr_code, methods=["GET"]),
        Route(f"{PAGES}/{{key}}", opened, methods=["GET"]),
        Route(f"{PAGES}/{{key}}", acted, methods=["POST"]),
        Route(f"{PAGES}/{{key}}/left", left, methods=["GET"]),
    ]


def _shown(
    provider: Provider, life: Life, status_code: int = 200, *, has_left: bool = False, is_refreshed: bool = False
) -> Response:
    moment = provider.now()
    status, is_over, is_scripted = life.status(moment), life.is_over(moment), _is_scripted(life, moment)
    buttons: tuple[_Button, ...] = ()
    if not is_over and not has_left:
        buttons = _TAKING_OVER if is_scripted else (*_RETRYING, *_LEAVING) if status in _RETRIED else _ALL
    return page(
        "payment.html",
        status_code,
        is_refreshed=is_refreshed and is_scripted and not is_over,
        leads_to=sorted({exit_.origin for exit_ in _exits(life, moment) if exit_.origin is not None}),
        title=life.page_title or "Your payment",
        path=page_path(life.session_id),
        session=session_record(provider, life, moment),
        cart=shown_cart(provider, life),
        most_lines=MOST_LINES,
        ways_to_pay=ways_to_pay(life),
        meaning=_MEANINGS.get(status, ""),
        has_expired=is_over and status not in FINAL,
        is_scripted=is_scripted and not is_over,
        has_left=has_left,
        buttons=buttons,
        exit=_exit(life, moment),
    )


def _is_scripted(life: Life, moment: datetime) -> bool:
    return len(life.passed(moment)) < len(life.steps)


# -- back to the shop --------------------------------------------------------------------------------------------------


@attrs.frozen
class _Exit:
    """
    A link back to the shop.

    Attributes:
        url: where it leads; shown as plain text if it is not an http URL.
        origin: the origin of a shop on this machine, to which the browser is redirected at once.
    """

    url: str
    is_link: bool = False
    origin: str | None = None


def _exit(life: Life, moment: datetime) -> _Exit | None:
    """Return the link that belongs to the session's status."""
    template = life.merchant_urls.get(_URLS.get(life.status(moment), ""))
    return None if template is None else _read(filled(template, life.reading(moment)))


def _exits(life: Life, moment: datetime) -> list[_Exit]:
    reading = life.reading(moment)
    templates = [url for name, url in life.merchant_urls.items() if name in _URLS.values()]
    return [_read(filled(template, reading)) for template in templates]


def _read(text: str) -> _Exit:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return _Exit(text)
    if url.scheme not in ("http", "https") or not url.host:
        return _Exit(text)
    try:
        # Not ::1: a content security policy cannot name an IPv6 address, so no form could lead there.
        is_here = url.host == "localhost" or ipaddress.IPv4Address(url.host).is_loopback
    except ValueError:
        is_here = False
    # A browser takes the URL apart as httpx does above, if it gets the URL in httpx's spelling.
    return _Exit(str(url), True, f"{url.scheme}://{url.netloc.decode()}" if is_here else None)
