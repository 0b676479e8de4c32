"""Decodes bodies: a reading to a `Session`, an error answer to its details, a callback to its ids."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import parse_qsl

import attrs

from hpp_async._core.endpoint import is_session_id
from hpp_async._core.session import (
    KNOWN_STATUSES,
    AnyStatus,
    Customer,
    ManualIdentification,
    Session,
    UnknownStatus,
    is_status,
)

if TYPE_CHECKING:
    import cattrs

    # orjson is used when it is installed; nothing needs it.
    _fast_loads: Callable[[bytes], Any]
else:
    try:
        from orjson import loads as _fast_loads
    except ImportError:

        def _fast_loads(body: bytes) -> Any:
            return json.loads(body.decode())  # of bytes, json would detect the encoding first, at twice the cost


_LEAP_SECOND: Final = re.compile(r"(:\d\d):60(?=[^\d]|$)")
_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_CALLBACK_MAXIMUM: Final = 1024 * 1024
_CORRELATION_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}", re.ASCII)


class UnreadableError(ValueError):
    """A body is not a reading. The message says why, and quotes nothing of the body."""


# -- a session ---------------------------------------------------------------------------------------------------


def text_or_none(value: object, _: object = None) -> str | None:
    """Return *value* if it is text; empty text occurs in place of absent fields."""
    return value if type(value) is str and value else None


def moment_or_none(value: object, _: object = None) -> datetime | None:
    """
    Return the date in UTC; ``None`` for a broken one, because a broken date must not hide a status.

    Dates are ISO 8601 with a time zone (dates page). A date without a time zone is taken as UTC.
    """
    if type(value) is not str:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        # ISO 8601 allows a lower-case z and a leap second (:60), which Python does not read.
        leap = _LEAP_SECOND.sub(r"\1:59", value.upper())
        try:
            moment = datetime.fromisoformat(leap)
            if leap != value.upper():
                moment += timedelta(seconds=1)
        except (ValueError, OverflowError):
            return None
    if moment.tzinfo is UTC:
        return moment
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        return None


def _status(value: object, _: object = None) -> AnyStatus:
    if type(value) is not str:
        raise UnreadableError("no readable status")
    known = KNOWN_STATUSES.get(value)
    if known is not None:
        return known
    if not is_status(value):
        raise UnreadableError("no readable status")
    return UnknownStatus(value)


def _converter() -> cattrs.Converter:
    import cattrs  # noqa: PLC0415 - loading it takes a tenth of the import time; `load_ahead` pays it
    from cattrs.gen import make_dict_structure_fn, override  # noqa: PLC0415 - likewise

    converter = cattrs.Converter(detailed_validation=False)
    converter.register_structure_hook(str | None, text_or_none)
    converter.register_structure_hook(datetime | None, moment_or_none)
    converter.register_structure_hook(AnyStatus, _status)
    for nested in (Customer, ManualIdentification):
        structure = make_dict_structure_fn(nested, converter)
        converter.register_structure_hook(nested | None, _mapping_or_none(structure))
    # These are no fields of the provider's: decode_session puts them into the mapping, over any key of the same name.
    ours = override(struct_hook=lambda value, _: value)
    hooks: dict[str, Callable[[object, object], Any]] = {
        "_authorization_token": text_or_none,
        "_customer": converter.get_structure_hook(Customer | None),
        "_manual_identification": converter.get_structure_hook(ManualIdentification | None),
        "_raw": lambda value, _: value,
    }
    hidden: dict[str, Any] = {name: override(struct_hook=hook, rename=name[1:]) for name, hook in hooks.items()}
    structure_session = make_dict_structure_fn(
        Session, converter, correlation_id=ours, read_at=ours, is_locally_dated=ours, **hidden
    )
    converter.register_structure_hook(Session, structure_session)
    return converter


def _mapping_or_none(structure: Callable[[Mapping[str, Any], Any], Any]) -> Callable[[object, object], Any]:
    def hook(value: object, _: object) -> Any:
        return structure(cast("dict[str, Any]", value), _) if isinstance(value, dict) else None

    return hook


@lru_cache(maxsize=1)  # made at the first use: it would take a tenth of the import time
def _structure() -> Callable[[Mapping[str, object], type[Session]], Session]:
    return _converter().get_structure_hook(Session)


def load_ahead() -> None:
    """Load cattrs and make the decoder now, so that the first reading does not block the event loop for it."""
    _structure()


def decode_session(
    body: bytes,
    *,
    session_id: str,
    read_at: datetime | None = None,
    is_locally_dated: bool = False,
    correlation_id: str | None = None,
) -> Session:
    """
    Return *body* as a reading of *session_id*.

    A broken field counts as absent, except for the status. Unknown keys are kept in ``raw``. The other arguments become
    fields of the `Session` as they are.

    Raises:
        UnreadableError: *body* is not a JSON object, has no readable status, or belongs to another session.
    """
    raw = json_object(body)
    if raw is None:
        raise UnreadableError("a body that is not a JSON object")
    if raw.get("session_id") == session_id:
        raw["session_id"] = session_id  # all readings of a session share one string
    raw.setdefault("status", None)
    raw["correlation_id"], raw["read_at"], raw["raw"] = correlation_id, read_at, _Received(body)
    if is_locally_dated:
        raw["is_locally_dated"] = True
    else:
        raw.pop("is_locally_dated", None)  # not the provider's to say
    session = _structure()(raw, Session)
    answered = session.session_id
    if answered is not None and answered != session_id and answered.casefold() != session_id.casefold():
        raise UnreadableError("an answer for another session")
    return session


class _Received:
    """The body as it was received, decoded at each call: bytes take a fifth of the memory of a mapping."""

    __slots__ = ("_body",)

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __call__(self) -> dict[str, object]:
        return json_object(self._body) or {}


# -- an error ----------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ErrorDetails:
    """
    The details in the body of an error answer, whichever of the provider's envelopes it has.

    They are empty for HTML, plain text and an empty body. ``error_messages`` may hold personal data, and are not in the
    ``repr``.
    """

    error_code: str | None = None
    error_messages: tuple[str, ...] = attrs.field(default=(), repr=False)
    correlation_id: str | None = None


def decode_error(body: bytes) -> ErrorDetails:
    """Return the details in *body*; empty ones if it has none that can be read. Raise nothing."""
    raw = json_object(body) or {}
    messages = raw.get("error_messages")
    found = cast("list[object]", messages) if isinstance(messages, list) else [raw.get("error_message")]
    code = raw.get("error_code")
    return ErrorDetails(
        error_code=code if isinstance(code, str) and _CODE.fullmatch(code) else None,
        error_messages=tuple(message for message in found if isinstance(message, str) and message),
        # The newer Klarna Network envelope calls it error_id.
        correlation_id=correlation_id_of(raw.get("correlation_id")) or correlation_id_of(raw.get("error_id")),
    )


def correlation_id_of(value: object) -> str | None:
    """Return *value* if it looks like a correlation id, and so can safely go into messages and logs; else ``None``."""
    return value if isinstance(value, str) and _CORRELATION_ID.fullmatch(value) else None


# -- a callback ---------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Callback:
    """
    The ids in a status callback, each ``None`` if it could not be read.

    A callback is only a hint that a session changed: callbacks are not signed, and repeated ones have arrived as
    ``{}``. Pass its session id to `HPPClient.notify`, or read the session. The event id is the same in each repeat of a
    callback.
    """

    event_id: str | None = None
    session_id: str | None = None


def parse_callback(body: bytes) -> Callback:
    """
    Return the ids in the *body* of a status callback, which is JSON or form-encoded.

    An id is ``None`` if it is missing, or could not safely go into a URL or a log. Nothing else of the body is used or
    kept, and no body raises: one of more than a MiB has no ids.

    Raises:
        TypeError: *body* is not bytes.
    """
    if not isinstance(body, bytes | bytearray | memoryview):
        raise TypeError(f"body is a {type(body).__name__}: pass the callback's bytes, as they arrived")
    body = bytes(body)
    raw = (json_object(body) or _form(body)) if len(body) <= _CALLBACK_MAXIMUM else {}
    nested = raw.get("session")
    if isinstance(nested, str):
        nested = json_object(nested.encode("utf-8", "replace"))
    session = cast("dict[str, object]", nested) if isinstance(nested, dict) else {}
    session_id = session.get("session_id", raw.get("session_id"))
    return Callback(event_id=_id(raw.get("event_id")), session_id=_id(session_id))


def _form(body: bytes) -> dict[str, object]:
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=100))
    except ValueError:
        return {}


def _id(value: object) -> str | None:
    # Event ids are held to the rule for session ids: both go into logs.
    return value if isinstance(value, str) and is_session_id(value) else None


# -- JSON --------------------------------------------------------------------------------------------------------


def json_object(body: bytes) -> dict[str, object] | None:
    """Return the mapping that *body* is; ``None`` where it is none."""
    try:
        value = _fast_loads(body)
    except (ValueError, RecursionError):
        value = _lenient_loads(body)
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def _lenient_loads(body: bytes) -> object:
    """Read JSON that strict readers refuse although it is clear: with a BOM, UTF-16, bad UTF-8, control characters."""
    try:
        text = body.decode(json.detect_encoding(body), errors="replace")
        return json.loads(text, strict=False, parse_int=float)
    except (ValueError, RecursionError):
        return None
