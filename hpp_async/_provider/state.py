"""A provider's sessions, payment sessions, orders and callbacks to come, as lines of JSON that outlive the process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

import cattrs
from cattrs import gen

from hpp_async._core.exceptions import ConfigurationError
from hpp_async._provider.callbacks import AnyCallback, OrderNotification
from hpp_async._provider.life import Life, Step
from hpp_async._provider.payments import PaymentSession, TokenUse
from hpp_async._provider.provider import Provider

FORMAT: Final = 1
"""Grows with every change that older versions cannot read."""


def dump(provider: Provider) -> dict[str, str]:
    """Return what *provider* would have to know after a restart, each part by its key; faults are not among it."""
    converter = _converter()
    parts: dict[str, object] = {f"session/{life.session_id}": life for life in provider.lives}
    parts |= {f"payment-session/{key}": session for key, session in provider.payments.sessions.items()}
    parts |= {f"token/{token}": use for token, use in provider.payments.uses.items()}
    parts["callbacks"] = provider.callbacks.pending
    parts["notifications"] = provider.callbacks.planned
    return {key: json.dumps(converter.unstructure(part), default=str) for key, part in parts.items()}


def restore(provider: Provider, parts: Mapping[str, str]) -> None:
    """
    Let *provider* know what `dump` returned, in place of the sessions that it has; its faults stay.

    Raises:
        ConfigurationError: *parts* are not what `dump` returns.
    """
    try:
        lives = _read(parts, "session/", Life)
        sessions = _read(parts, "payment-session/", PaymentSession)
        uses = _read(parts, "token/", TokenUse)
        pending = _converter().structure(json.loads(parts.get("callbacks", "[]")), list[AnyCallback])
        planned = _converter().structure(json.loads(parts.get("notifications", "[]")), list[OrderNotification])
    except (cattrs.BaseValidationError, ValueError):
        # The parts hold carts and tokens: the message and its causes must not.
        raise ConfigurationError("the stored sessions cannot be read") from None
    provider.forget_all()
    for life in lives.values():
        provider.add_life(life)
    provider.payments.sessions.update(sessions)
    provider.payments.uses.update(uses)
    provider.callbacks.pending.extend(pending)
    provider.callbacks.planned.extend(planned)


def _read(parts: Mapping[str, str], prefix: str, kind: type[Any]) -> dict[str, Any]:
    converter = _converter()
    return {
        key.removeprefix(prefix): converter.structure(json.loads(text), kind)
        for key, text in parts.items()
        if key.startswith(prefix)
    }


@cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    converter.register_unstructure_hook(datetime, lambda value: value.isoformat())
    converter.register_structure_hook(datetime, lambda value, _: datetime.fromisoformat(value))
    converter.register_unstructure_hook(timedelta, lambda value: value.total_seconds())
    converter.register_structure_hook(timedelta, lambda value, _: timedelta(seconds=value))
    converter.register_unstructure_hook(bytes, lambda value: value.decode())
    converter.register_structure_hook(bytes, lambda value, _: value.encode())
    # The fields of an answer are whatever a script says.
    whatever = gen.override(struct_hook=lambda value, _: value, unstruct_hook=dict)
    converter.register_structure_hook(Step, gen.make_dict_structure_fn(Step, converter, fields=whatever))
    converter.register_unstructure_hook(Step, gen.make_dict_unstructure_fn(Step, converter, fields=whatever))
    without = gen.override(omit=True)
    converter.register_structure_hook(Life, gen.make_dict_structure_fn(Life, converter, on_change=without))
    converter.register_unstructure_hook(Life, gen.make_dict_unstructure_fn(Life, converter, on_change=without))
    return converter
