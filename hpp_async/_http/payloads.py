"""The bodies that are sent: models turned into JSON by cattrs, with what their ``extra`` has."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

import attrs
import cattrs
from cattrs.gen import make_dict_unstructure_fn, override

from hpp_async._core.hidden import Hidden
from hpp_async._core.orders.checks import Model
from hpp_async._core.orders.creation import Creation
from hpp_async._core.orders.distribution import Distribution
from hpp_async._core.orders.order import SESSION_ONLY, PurchaseOrder

if TYPE_CHECKING:
    # orjson is used when it is installed; nothing needs it.
    _dumps: Callable[[object], bytes]
else:
    try:
        from orjson import dumps as _dumps
    except ImportError:

        def _dumps(value: object) -> bytes:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def load_ahead() -> None:
    """Make what turns models into JSON, which would else be made at the first call."""
    for model in (PurchaseOrder, Creation):
        _converter().get_unstructure_hook(model)


_NOTHING: Final[tuple[object, ...]] = (None, [])


def payment_session_body(order: PurchaseOrder) -> Hidden[bytes]:
    """Return what a payment session is created with."""
    return Hidden(_dumps(_data(order)))


def order_body(order: PurchaseOrder, *, auto_capture: bool | None) -> Hidden[bytes]:
    """Return what *order* is placed with: what the payment session was created with, as far as an order has it."""
    data = {name: value for name, value in _data(order).items() if name not in SESSION_ONLY}
    if auto_capture is not None:
        data["auto_capture"] = auto_capture
    return Hidden(_dumps(data))


def session_body(creation: Creation) -> Hidden[bytes]:
    """Return what a session of the payment page is created with."""
    return Hidden(_dumps(_data(creation)))


def distribution_body(distribution: Distribution) -> Hidden[bytes]:
    """Return what asks for a link to be sent."""
    data = _data(distribution)
    contact = {name: data.pop(name) for name in attrs.fields_dict(type(distribution)) if name in data}
    template = contact.pop("template", None)
    body = {"method": distribution.method, "contact_information": contact, **data}
    return Hidden(_dumps(body if template is None else body | {"template": template}))


def _data(model: Model) -> dict[str, Any]:
    return cast("dict[str, Any]", _converter().unstructure(model))


@lru_cache(maxsize=1)  # not on import: it takes a while
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    # A member may be given as its text.
    converter.register_unstructure_hook_func(lambda kind: isinstance(kind, type) and issubclass(kind, StrEnum), str)

    def hook(kind: type[Any]) -> Callable[[Any], dict[str, Any]]:
        return _hook(kind, converter)

    converter.register_unstructure_hook_factory(lambda kind: isinstance(kind, type) and issubclass(kind, Model), hook)
    return converter


def _hook(kind: type[Any], converter: cattrs.Converter) -> Callable[[Any], dict[str, Any]]:
    """Return what turns a *kind* into plain data without what was not given."""
    fields = make_dict_unstructure_fn(kind, converter, extra=override(omit=True))

    def unstructured(model: Any) -> dict[str, Any]:
        data = {name: value for name, value in fields(model).items() if value not in _NOTHING}
        data.update(model.extra)
        return data

    return unstructured
