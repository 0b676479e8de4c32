"""Tests of the checkout: killed at any step and started again, it places one order, and the shop knows it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import attrs
import checkout
import httpx
import pytest

from hpp_async import AuthenticationError, HPPClient
from hpp_async.testing import (
    Answered,
    Dropped,
    Operation,
    Provider,
    Refused,
    Script,
    ScriptedProvider,
    VirtualClock,
    cancels,
    declines,
    opens,
    pays,
    retries,
)

EXAMPLES: Final = Path(__file__).parent
NUMBER: Final = "1001"


class CrashError(BaseException):
    """The machine has stopped: no line of the program runs any more."""


class Machine:
    """
    The computer that the program runs on. It stops for good after *lasts* steps, or at the first step *stops_when*.

    The steps are the moments before and after everything that is kept outside of the program: each request, each
    transaction, each page that the consumer sees.
    """

    def __init__(self, lasts: float = float("inf"), *, stops_when: Callable[[], bool] = lambda: False) -> None:
        self.lasts = lasts
        self.stops_when = stops_when
        self.down = asyncio.Event()

    def step(self) -> None:
        if self.lasts <= 0 or self.down.is_set() or self.stops_when():
            self.down.set()
            raise CrashError
        self.lasts -= 1


class Line(httpx.AsyncBaseTransport):
    """The machine's network: a request that is under way when the machine stops gets no answer."""

    def __init__(self, machine: Machine, provider: ScriptedProvider) -> None:
        self._machine = machine
        self._provider = provider

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._step()
        answer = await self._provider.handle_async_request(request)
        await self._step()
        return answer

    async def _step(self) -> None:
        try:
            self._machine.step()
        except CrashError:
            await asyncio.Event().wait()  # for ever: this task is the client's, and the machine runs nothing


class Disk(checkout.Store):
    """The machine's database, which outlives it."""

    def __init__(self, machine: Machine, path: str) -> None:
        super().__init__(path)
        self._database.execute("PRAGMA synchronous = OFF")  # the disk of this computer does not stop
        self._machine = machine

    def add(self, number: str, cart: dict[str, Any]) -> None:
        self._around(lambda: super(Disk, self).add(number, cart))

    def keep(self, purchase: checkout.Purchase, **news: str | None) -> None:
        self._around(lambda: super(Disk, self).keep(purchase, **news))

    def _around(self, transaction: Callable[[], None]) -> None:
        self._machine.step()
        transaction()
        self._machine.step()


@attrs.define
class World:
    """The provider, a consumer who pays on the page that the shop shows, and the shop's database."""

    path: str
    visit: Script = attrs.field(factory=lambda: Script(opens(after=5), pays(after=20)))
    provider: ScriptedProvider = attrs.field(factory=lambda: ScriptedProvider(VirtualClock()))
    shown: set[str] = attrs.field(factory=set[str])

    def __attrs_post_init__(self) -> None:
        self.provider.model.consumer = Script()  # nobody comes to a page that was not shown

    def show(self, purchase: checkout.Purchase) -> None:
        session_id = purchase.session_id
        assert session_id is not None
        assert purchase.page is not None
        if session_id not in self.shown:
            self.shown.add(session_id)
            self.provider.model.visit(session_id, self.visit)

    async def run(self, machine: Machine) -> checkout.Purchase | None:
        """Start the program on *machine*; return the purchase, or ``None`` if the machine has stopped."""

        async def program(client: HPPClient, store: Disk) -> checkout.Purchase:
            def show(purchase: checkout.Purchase) -> None:
                machine.step()
                self.show(purchase)
                machine.step()

            store.add(NUMBER, checkout.CART)
            return await checkout.check_out(client, store, NUMBER, show=show, sleep=self.provider.clock.sleep)

        http = httpx.AsyncClient(transport=Line(machine, self.provider))
        with contextlib.closing(Disk(machine, self.path)) as store:
            async with self.provider.client(http_client=http) as client:
                running = asyncio.create_task(program(client, store))
                stopping = asyncio.create_task(machine.down.wait())
                await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
                stopping.cancel()
                running.cancel()
                try:
                    return await running
                except (CrashError, asyncio.CancelledError):
                    return None

    @property
    def orders(self) -> list[str]:
        """The ids of the orders that were placed at the provider."""
        model = self.provider.model
        moment = self.provider.clock.provider_time()
        found = [model.payments.order_of(life, moment) for life in model.lives]
        return [order_id for order_id in found if order_id is not None]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(str(tmp_path / "shop.db"))


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[World]:
    """Provide as many worlds as one asks for, each untouched by the others."""
    return (World(str(tmp_path / f"shop{number}.db")) for number in itertools.count())


async def ended(world: World, *lives: float) -> tuple[checkout.Purchase, bool]:
    """Run the program on machines that last as *lives* say, then on one that lasts; tell whether all have stopped."""
    have_stopped = all([await world.run(Machine(lasts)) is None for lasts in lives])
    purchase = await world.run(Machine())
    assert purchase is not None
    return purchase, have_stopped


def check(world: World, purchase: checkout.Purchase) -> None:
    assert (purchase.ending, purchase.fraud_status) == ("placed", "ACCEPTED")
    assert world.orders == [purchase.order_id]
    assert world.shown == {purchase.session_id}
    assert purchase.token is None


@pytest.mark.asyncio
async def test_a_crash_at_any_step_costs_no_order_and_places_none_twice(worlds: Iterator[World]) -> None:
    steps = 0
    for steps, world in enumerate(worlds):
        purchase, has_crashed = await ended(world, steps)

        check(world, purchase)
        if not has_crashed:
            break

    assert steps > 16  # around a cart, two creates, a page, a read, an order and three transactions


@pytest.mark.asyncio
@pytest.mark.parametrize("first", range(0, 20, 3))
async def test_nor_does_a_second_crash(worlds: Iterator[World], first: int) -> None:
    for second, world in enumerate(worlds):
        purchase, have_crashed = await ended(world, first, second)

        check(world, purchase)
        if not have_crashed:
            break


@pytest.mark.asyncio
async def test_two_programs_on_one_purchase_place_one_order(world: World) -> None:
    first, second = await asyncio.gather(world.run(Machine()), world.run(Machine()))

    assert first == second
    assert first is not None
    check(world, first)


@pytest.mark.asyncio
async def test_an_order_that_was_placed_is_found_after_the_token_has_expired(world: World) -> None:
    assert await world.run(Machine(stops_when=lambda: bool(world.orders))) is None
    await world.provider.clock.sleep(2 * 3600)

    purchase = await world.run(Machine())

    assert purchase is not None
    check(world, purchase)


@pytest.mark.asyncio
async def test_a_token_that_expired_while_the_program_was_down_is_for_a_person(world: World) -> None:
    def has_token() -> bool:
        with contextlib.closing(checkout.Store(world.path)) as store:
            return store.unfinished() == [NUMBER] and store.find(NUMBER).token is not None

    assert await world.run(Machine(stops_when=has_token)) is None
    assert world.orders == []
    await world.provider.clock.sleep(2 * 3600)

    purchase = await world.run(Machine())

    assert purchase is not None
    assert purchase.ending is not None
    assert purchase.ending.startswith("needs a person: order: 404 NOT_FOUND: the authorization token has expired")
    assert world.orders == []


@pytest.mark.asyncio
@pytest.mark.parametrize("operation", [Operation.CREATE_PAYMENT_SESSION, Operation.READ, Operation.PLACE_ORDER])
@pytest.mark.parametrize("fault", [Answered(503), Refused(), Dropped()])
async def test_an_outage_of_a_quarter_of_an_hour_passes(world: World, operation: Operation, fault: Any) -> None:
    world.provider.trouble(fault, on=[operation], until=900)

    purchase = await world.run(Machine())

    assert purchase is not None
    check(world, purchase)


class Replaying(ScriptedProvider):
    """A provider that answers the first attempt to place an order with an error, and repeats that for ever."""

    is_placed = False
    """Whether it has placed the order all the same."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/order"):
            if self.is_placed:
                await super().handle_async_request(request)
            self.answer_next(500)
        return await super().handle_async_request(request)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("is_placed", "ending"),
    [
        (True, "needs a person: the order was placed, but its id is not known"),
        (False, "needs a person: no order was placed, and the token has expired"),
    ],
)
async def test_an_error_that_is_repeated_for_ever_ends_with_what_is_known_of_the_order(
    tmp_path: Path, is_placed: bool, ending: str
) -> None:
    provider = Replaying(VirtualClock())
    provider.is_placed = is_placed
    world = World(str(tmp_path / "shop.db"), provider=provider)

    purchase = await world.run(Machine())

    assert purchase is not None
    assert (purchase.ending, bool(world.orders)) == (ending, is_placed)
    assert timedelta(minutes=62) < timedelta(seconds=provider.clock.now()) < timedelta(minutes=64)


class Recovering(Replaying):
    """Recovers between the last try to place the order and the question whether the order was placed."""

    is_placed = True

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.is_placed and request.method == "GET" and request.url.path.startswith("/payments/"):
            self.is_placed = False
        if self.is_placed:
            return await super().handle_async_request(request)
        return await ScriptedProvider.handle_async_request(self, request)


@pytest.mark.asyncio
async def test_a_provider_that_recovers_after_the_last_try_is_asked_once_more(tmp_path: Path) -> None:
    world = World(str(tmp_path / "shop.db"), provider=Recovering(VirtualClock()))

    purchase = await world.run(Machine())

    assert purchase is not None
    check(world, purchase)


@pytest.mark.asyncio
async def test_a_provider_that_is_down_while_the_token_expires_is_asked_until_it_answers(world: World) -> None:
    world.provider.trouble(Dropped(is_done=True), on=[Operation.PLACE_ORDER], until=120)
    world.provider.trouble(Answered(503), start=60, until=3 * 3600)

    purchase = await world.run(Machine())

    assert purchase is not None
    check(world, purchase)


@pytest.mark.asyncio
async def test_a_declined_consumer_who_pays_later_gets_the_order(world: World) -> None:
    world.visit = Script(opens(after=5), declines(after=20), retries(after=600), pays(after=20))

    purchase = await world.run(Machine())

    assert purchase is not None
    check(world, purchase)


@pytest.mark.asyncio
async def test_a_purchase_that_was_cancelled_is_not_paid(world: World) -> None:
    world.visit = Script(opens(after=5), cancels(after=20))

    purchase = await world.run(Machine())

    assert purchase is not None
    assert (purchase.ending, purchase.order_id) == ("not paid", None)


@pytest.mark.asyncio
async def test_an_order_that_the_provider_placed_itself_is_known(world: World) -> None:
    session_id = world.provider.add([(0, "COMPLETED", {"order_id": "ord-1"})]).rpartition("/")[2]
    with contextlib.closing(checkout.Store(world.path)) as store:
        store.add(NUMBER, checkout.CART)
        store.keep(store.find(NUMBER), session_id=session_id, page="https://pay.example/1")
    world.shown.add(session_id)

    purchase = await world.run(Machine())

    assert purchase is not None
    assert (purchase.ending, purchase.order_id) == ("placed", "ord-1")


@pytest.mark.asyncio
async def test_refused_credentials_end_the_program_and_not_the_purchase(world: World) -> None:
    world.provider.answer_next(401)
    with pytest.raises(AuthenticationError):
        await world.run(Machine())

    with contextlib.closing(checkout.Store(world.path)) as store:
        assert store.unfinished() == [NUMBER]


# -- as processes ---------------------------------------------------------------------------------------------------

KILLED: Final = """
import asyncio, functools, os, sys, types
import checkout
from hpp_async import HPPClient, PollSchedule

path, at_once = sys.argv[1], 8


def pass_moment():
    global moments
    if not moments:
        os._exit(9)
    moments -= 1


@types.coroutine
def killed(program):
    steps = program.__await__()
    step = functools.partial(steps.send, None)
    while True:
        try:
            awaited = step()
        except StopIteration as end:
            return end.value
        pass_moment()  # an await begins
        try:
            step = functools.partial(steps.send, (yield awaited))
        except BaseException as error:
            step = functools.partial(steps.throw, error)
        pass_moment()  # the await is over


async def main(number):
    store = checkout.Store(path)
    store.add(number, checkout.CART)
    async with HPPClient.from_env(schedule=PollSchedule.every(0.1)) as client:
        await killed(checkout.check_out(client, store, number))


def forked(number, lasts):
    global moments
    pid = os.fork()
    if not pid:
        moments = lasts
        asyncio.run(main(str(number)))
        os._exit(0)
    return pid


def ran(processes):
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in processes]


moments = 1e9
asyncio.run(main("first"))  # now everything is loaded
codes = []
while 0 not in codes:
    numbers = range(len(codes), len(codes) + at_once)
    codes += ran([forked(number, lasts=number) for number in numbers])
    assert not any(ran([forked(number, lasts=1e9) for number in numbers]))
print(*codes)
"""
"""
A shop whose processes are killed, the first before its first await, and each other one a moment later; and begun again.

The processes are forked from one that has loaded everything, and several of them run at once.
"""


@pytest.fixture
def simulated() -> Iterator[tuple[Provider, dict[str, str]]]:
    """Provide a simulator with consumers who pay, and the environment of a shop that uses it."""
    simulator = pytest.importorskip("hpp_async.simulator", reason="needs the simulator extra")
    provider = Provider(
        now=lambda: datetime.now(UTC), auth=("user", "secret"), quota=None, creation_quota=None, speed=20
    )
    with simulator.serve(provider) as url:
        yield (
            provider,
            os.environ
            | {
                "HPP_USERNAME": "user",
                "HPP_PASSWORD": "secret",
                "HPP_ENDPOINT": url,
                "PYTHONPATH": str(EXAMPLES),
            },
        )


def run(environment: dict[str, str], *command: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


def orders_of(provider: Provider) -> set[str]:
    found = {provider.payments.order_of(life, provider.now()) for life in provider.lives}
    return {order_id for order_id in found if order_id is not None}


@pytest.mark.thorough
def test_a_process_that_is_killed_around_every_await_leaves_one_order_for_each_number(
    simulated: tuple[Provider, dict[str, str]], tmp_path: Path
) -> None:
    provider, environment = simulated
    path = str(tmp_path / "shop.db")
    code, said = run(environment, "-c", KILLED, path)
    assert code == 0, said
    endings = said.splitlines()[-1].split()
    with contextlib.closing(checkout.Store(path)) as store:
        purchases = [store.find(str(number)) for number in range(len(endings))]

    assert set(endings) == {"0", "9"}
    assert endings.index("0") >= 8  # around two creates, two reads or more, and an order
    assert {purchase.ending for purchase in purchases} == {"placed"}
    assert len({purchase.order_id for purchase in purchases}) == len(purchases)
    assert orders_of(provider) > {purchase.order_id for purchase in purchases}  # and the first one's


def test_it_runs_as_its_docstring_says(simulated: tuple[Provider, dict[str, str]], tmp_path: Path) -> None:
    provider, environment = simulated
    program = (str(EXAMPLES / "checkout.py"), str(tmp_path / "shop.db"))

    code, said = run(environment, *program, NUMBER)
    again = run(environment, *program)

    [order_id] = orders_of(provider)
    page, end = said.splitlines()
    assert page.startswith("1001: pay at http://127.0.0.1:")
    assert (code, end) == (0, f"1001: placed, order {order_id} ACCEPTED")
    assert again == (0, "")
