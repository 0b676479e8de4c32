"""A provider with its consumers, sessions and faults, described in one TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from os import PathLike
from pathlib import Path
from typing import Final

import attrs

from hpp_async._core.endpoint import is_session_id
from hpp_async._core.exceptions import ConfigurationError
from hpp_async._provider.callbacks import Callbacks
from hpp_async._provider.faults import Fault
from hpp_async._provider.injection import Faults
from hpp_async._provider.life import duration
from hpp_async._provider.payments import DECIDED_AFTER, FraudDecision, FraudStatus, Payments
from hpp_async._provider.plain import Visit, read
from hpp_async._provider.provider import Provider
from hpp_async._provider.requests import PlaceOrderMode
from hpp_async._provider.scripts import CONSUMERS, Consumer, Script, Visitor

_NOBODY: Final = Script()


@attrs.frozen(kw_only=True)
class Planned:
    """A session that exists from the beginning; the attributes are those of `Provider.create`."""

    life: Visitor = _NOBODY
    session_id: str | None = None
    lifetime: float | None = None
    place_order_mode: str = "NONE"
    merchant_urls: Mapping[str, str] = attrs.field(factory=dict[str, str])
    age: float = 0.0


@attrs.frozen(kw_only=True)
class Scenario:
    """
    A provider's consumers, sessions and faults.

    In a file, where everything is optional::

        seed = 7                    # of the faults
        visitor = "hesitant"        # who visits the sessions that are created over HTTP
        speed = 2.0                 # how many times as fast as a person a visitor is
        quota = 50                  # requests per second of each merchant; 0 is no limit
        creation_quota = 5          # created sessions per second of each merchant and kind; 0 is no limit
        readable_for = 86400        # seconds after the expiry of a session
        repeats_are_empty = true    # repeated callbacks have the body {}
        fraud_status = "PENDING"    # of orders that merchants place; also "REJECTED" and, by default, "ACCEPTED"
        fraud_decision = "REJECTED" # what becomes of pending orders; by default "ACCEPTED"
        decided_after = 60          # seconds for which orders are pending; by default four hours

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
        age = 0                     # seconds since its creation, when the scenario begins
        place_order_mode = "CAPTURE_ORDER"
        merchant_urls = { status_update = "http://127.0.0.1:8000/callback/{{session_id}}" }
    """

    seed: int = 0
    visitor: Visitor = Consumer.PAY
    speed: float = 1.0
    quota: int | None = 50
    creation_quota: int | None = 5
    readable_for: timedelta = timedelta(days=1)
    repeats_are_empty: bool = False
    fraud_status: FraudStatus = "ACCEPTED"
    fraud_decision: FraudDecision = "ACCEPTED"
    decided_after: timedelta = DECIDED_AFTER
    consumers: Mapping[str, Visitor] = attrs.field(factory=lambda: CONSUMERS)
    faults: tuple[Fault, ...] = ()
    sessions: tuple[Planned, ...] = ()

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Scenario:
        """
        Read the TOML file at *path*.

        Raises:
            ConfigurationError: the file cannot be read, or something in it is wrong: the message names the key.
        """
        try:
            return cls.parse(Path(path).read_text("utf-8"))
        except UnicodeDecodeError:
            raise ConfigurationError(f"{path}: not TOML: the file is not in UTF-8") from None
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}") from error
        except ConfigurationError as refusal:
            raise ConfigurationError(f"{path}: {refusal}") from None

    @classmethod
    def parse(cls, text: str) -> Scenario:
        """
        Read *text*, TOML.

        Raises:
            ConfigurationError: it is not TOML, or something in it is wrong: the message names the key.
        """
        try:
            file = read(tomllib.loads(text), _File)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"not TOML: {error}") from None
        consumers = dict(CONSUMERS)
        for number, consumer in enumerate(file.consumer):
            with _at(f"consumer[{number}]"):
                consumers[consumer.name] = consumer.described(consumers)
        sessions: list[Planned] = []
        for number, session in enumerate(file.session):
            with _at(f"session[{number}]"):
                if session.id is not None and session.id in [one.session_id for one in sessions]:
                    raise ConfigurationError(f"id={session.id!r}: another session has this id")
                sessions.append(session.planned(consumers))
        return cls(
            seed=file.seed,
            visitor=file.read(consumers) or Consumer.PAY,
            speed=duration(file.speed, "speed", at_least=0.01),
            quota=file.quota or None,
            creation_quota=file.creation_quota or None,
            readable_for=timedelta(seconds=duration(file.readable_for, "readable_for")),
            repeats_are_empty=file.repeats_are_empty,
            fraud_status=file.fraud_status,
            fraud_decision=file.fraud_decision,
            decided_after=timedelta(seconds=duration(file.decided_after, "decided_after")),
            consumers=consumers,
            faults=tuple(file.fault),
            sessions=tuple(sessions),
        )

    def provider(
        self, *, now: Callable[[], datetime], auth: tuple[str, str] | None = None, speed: float | None = None
    ) -> Provider:
        """Return a provider on which the scenario begins now; *speed* replaces the scenario's own."""
        provider = Provider(
            now=now,
            auth=auth,
            quota=self.quota,
            creation_quota=self.creation_quota,
            readable_for=self.readable_for,
            consumer=self.visitor,
            consumers=self.consumers,
            speed=self.speed if speed is None else speed,
            faults=Faults(self.seed),
            callbacks=Callbacks(self.repeats_are_empty),
            payments=Payments(
                fraud_status=self.fraud_status,
                fraud_decision=self.fraud_decision,
                decided_after=self.decided_after,
            ),
            beginning=self.play,
        )
        self.play(provider)
        return provider

    def play(self, provider: Provider) -> list[str]:
        """Add the scenario's faults and sessions to *provider* now; return the ids of these sessions."""
        for fault in self.faults:
            provider.add_fault(fault)
        return [
            provider.create(
                planned.life,
                session_id=planned.session_id,
                lifetime=planned.lifetime,
                place_order_mode=planned.place_order_mode,
                merchant_urls=planned.merchant_urls,
                age=planned.age,
            )
            for planned in self.sessions
        ]


# -- the tables of the file --------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class _Consumer(Visit):
    name: str

    def described(self, known: Mapping[str, Visitor]) -> Visitor:
        visitor = self.read(known)
        if visitor is None:
            raise ConfigurationError("acts is missing")
        return visitor


@attrs.frozen(kw_only=True)
class _Session(Visit):
    id: str | None = None
    place_order_mode: PlaceOrderMode = "NONE"
    merchant_urls: dict[str, str] = attrs.field(factory=dict[str, str])
    age: float = 0.0

    def planned(self, known: Mapping[str, Visitor]) -> Planned:
        if self.id is not None and not is_session_id(self.id):
            raise ConfigurationError(f"id={self.id!r}: give up to 128 letters, digits, '-' and '_'")
        return Planned(
            life=attrs.evolve(self, lifetime=None).read(known) or _NOBODY,
            session_id=self.id,
            lifetime=None if self.lifetime is None else duration(self.lifetime, "lifetime"),
            place_order_mode=self.place_order_mode,
            merchant_urls=self.merchant_urls,
            age=duration(self.age, "age"),
        )


@attrs.frozen(kw_only=True)
class _File(Visit):
    seed: int = 0
    speed: float = 1.0
    quota: int = 50
    creation_quota: int = 5
    readable_for: float = 86_400.0
    repeats_are_empty: bool = False
    fraud_status: FraudStatus = "ACCEPTED"
    fraud_decision: FraudDecision = "ACCEPTED"
    decided_after: float = DECIDED_AFTER.total_seconds()
    consumer: list[_Consumer] = attrs.field(factory=list[_Consumer])
    fault: list[Fault] = attrs.field(factory=list[Fault])
    session: list[_Session] = attrs.field(factory=list[_Session])


@contextmanager
def _at(path: str) -> Generator[None]:
    """Put *path* in front of a refusal that begins with the name of a key, so that it begins with the whole path."""
    try:
        yield
    except ConfigurationError as refusal:
        raise ConfigurationError(f"{path}.{refusal}") from None
