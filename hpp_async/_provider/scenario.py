"""Consumers, sessions and faults in one file: what a provider is to go through."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from os import PathLike
from pathlib import Path
from typing import Final

import attrs

from hpp_async._core.exceptions import ConfigurationError
from hpp_async._provider.callbacks import Callbacks
from hpp_async._provider.checks import duration
from hpp_async._provider.consumers import CONSUMERS, Consumer, Script, Visitor
from hpp_async._provider.faults import Trouble
from hpp_async._provider.notation import Table, at, read_trouble, read_visitor
from hpp_async._provider.provider import Provider
from hpp_async._provider.requests import CHOICES
from hpp_async._provider.troubles import Troubles

_QUOTA: Final = 50
_A_DAY: Final = 86_400.0
_ID: Final = re.compile(r"[A-Za-z0-9._-]+")


_NOBODY: Final = Script()


@attrs.frozen(kw_only=True)
class Planned:
    """A session that is there from the beginning; the attributes are those of `Provider.create`."""

    life: Visitor = _NOBODY
    session_id: str | None = None
    lifetime: float | None = None
    place_order_mode: str = "NONE"
    merchant_urls: Mapping[str, str] = attrs.field(factory=dict[str, str])


@attrs.frozen(kw_only=True)
class Scenario:
    """
    What a provider is to go through.

    In a file, with everything optional::

        seed = 7                    # of the faults
        visitor = "hesitant"        # who comes to sessions that are created over HTTP
        speed = 2.0                 # how many times as fast as people are
        quota = 50                  # requests per second of each merchant; 0 is no limit
        readable_for = 86400        # seconds after its expiry
        repeats_are_empty = true    # repeated callbacks come as {}

        [[consumer]]
        name = "hesitant"
        acts = [{ opens = 5 }, { declines = 20 }, "retries", { pays = 30 }]

        [[fault]]
        kind = "throttled"
        seconds = 5
        share = 0.2
        until = 60

        [[session]]
        id = "0b6b8c1e-hesitates"
        acts = [{ opens = 5 }, "vanishes"]
        lifetime = 120
        place_order_mode = "CAPTURE_ORDER"
        merchant_urls = { status_update = "http://127.0.0.1:8000/callback/{{session_id}}" }
    """

    seed: int = 0
    visitor: Visitor = Consumer.PAY
    speed: float = 1.0
    quota: int | None = _QUOTA
    readable_for: timedelta = timedelta(seconds=_A_DAY)
    repeats_are_empty: bool = False
    consumers: Mapping[str, Visitor] = attrs.field(factory=lambda: CONSUMERS)
    troubles: tuple[Trouble, ...] = ()
    sessions: tuple[Planned, ...] = ()

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Scenario:
        """
        Read the file at *path*, TOML.

        Raises:
            ConfigurationError: it cannot be read, or something in it is not known: the message names the key.
        """
        try:
            return cls.parse(Path(path).read_text("utf-8"))
        except UnicodeDecodeError:
            raise ConfigurationError(f"{path}: no TOML: it is not in UTF-8") from None
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}") from error
        except ConfigurationError as refusal:
            raise ConfigurationError(f"{path}: {refusal}") from None

    @classmethod
    def parse(cls, text: str) -> Scenario:
        """
        Read *text*, TOML.

        Raises:
            ConfigurationError: it is no TOML, or something in it is not known: the message names the key.
        """
        try:
            table = Table(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"no TOML: {error}") from None
        consumers = dict(CONSUMERS)
        for path, item in table.items("consumer"):
            name, script = _consumer(Table(item, path), consumers)
            consumers[name] = script
        troubles = tuple(read_trouble(item, path) for path, item in table.items("fault"))
        sessions: list[Planned] = []
        for path, item in table.items("session"):
            planned = _session(Table(item, path), consumers)
            if planned.session_id is not None and planned.session_id in [one.session_id for one in sessions]:
                raise ConfigurationError(f"{path}.id={planned.session_id!r}: there is one already")
            sessions.append(planned)
        seed, quota = table.take("seed", int, "a whole number"), table.take("quota", int, "a whole number")
        are_empty = table.take("repeats_are_empty", bool, "true or false")
        visitor = read_visitor(table, consumers)
        speed, readable_for = (table.number(key) for key in ("speed", "readable_for"))
        table.end()
        return cls(
            seed=seed or 0,
            visitor=Consumer.PAY if visitor is None else visitor,
            speed=1.0 if speed is None else duration(speed, "speed", at_least=0.01),
            quota=_QUOTA if quota is None else quota or None,
            readable_for=timedelta(seconds=_A_DAY if readable_for is None else duration(readable_for, "readable_for")),
            repeats_are_empty=bool(are_empty),
            consumers=consumers,
            troubles=troubles,
            sessions=tuple(sessions),
        )

    def provider(
        self, *, now: Callable[[], datetime], auth: tuple[str, str] | None = None, speed: float | None = None
    ) -> Provider:
        """Return a provider that goes through it, from now on; *speed* goes before the scenario's own."""
        provider = Provider(
            now=now,
            auth=auth,
            quota=self.quota,
            readable_for=self.readable_for,
            consumer=self.visitor,
            consumers=self.consumers,
            speed=self.speed if speed is None else speed,
            troubles=Troubles(self.seed),
            callbacks=Callbacks(self.repeats_are_empty),
        )
        self.play(provider)
        return provider

    def play(self, provider: Provider) -> list[str]:
        """Let its troubles begin and its sessions be created at *provider* now; return the ids of these sessions."""
        for trouble in self.troubles:
            provider.add_trouble(trouble)
        return [
            provider.create(
                planned.life,
                session_id=planned.session_id,
                lifetime=planned.lifetime,
                place_order_mode=planned.place_order_mode,
                merchant_urls=planned.merchant_urls,
            )
            for planned in self.sessions
        ]


def _consumer(table: Table, known: Mapping[str, Visitor]) -> tuple[str, Visitor]:
    name, visitor = table.text("name"), read_visitor(table, known)
    table.end()
    if not name:
        raise ConfigurationError(f"{table.path('name')} is missing")
    if visitor is None:
        raise ConfigurationError(f"{table.path('acts')} is missing")
    return name, visitor


def _session(table: Table, known: Mapping[str, Visitor]) -> Planned:
    session_id, mode = table.text("id"), table.text("place_order_mode") or "NONE"
    urls, lifetime = table.texts("merchant_urls"), table.number("lifetime")
    visitor = read_visitor(table, known)
    table.end()
    if session_id is not None and not _ID.fullmatch(session_id):
        raise ConfigurationError(f"{table.path('id')}={session_id!r}: give letters, digits, '.', '_' and '-'")
    modes = CHOICES["place_order_mode"]
    if mode not in modes:
        raise ConfigurationError(f"{table.path('place_order_mode')}={mode!r}: give one of {', '.join(modes)}")
    with at(table.where):
        lasts = None if lifetime is None else duration(lifetime, "lifetime")
    return Planned(
        life=_NOBODY if visitor is None else visitor,
        session_id=session_id,
        lifetime=lasts,
        place_order_mode=mode,
        merchant_urls=urls,
    )
