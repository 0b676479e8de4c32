"""An asyncio event loop in virtual time, on which processes can be frozen and killed."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final, TypeVarTuple

import attrs

Ts = TypeVarTuple("Ts")

_process: Final[ContextVar[Machine | None]] = ContextVar("_process", default=None)

_PATIENCE: Final = 400_000
"""Turns of the loop: some fifty times as many as a life takes."""

_TICK: Final = 1e-9
"""Seconds that a turn takes."""


@attrs.define(eq=False)
class Machine:
    """
    What one process runs on.

    Everything that runs in its `context`, and every task and timer that comes of it, stops while anything freezes it,
    and happens at once afterwards. A process that is killed is frozen for ever.
    """

    name: str
    freezes: int = 0
    held: list[Callable[[], object]] = attrs.field(init=False, factory=list)
    context: Context = attrs.field(init=False, factory=copy_context)

    def __attrs_post_init__(self) -> None:
        self.context.run(_process.set, self)

    @property
    def is_frozen(self) -> bool:
        return self.freezes > 0

    def thaw(self) -> None:
        """Go on, if nothing else freezes it, and do what was held back, in order."""
        self.freezes -= 1
        if self.is_frozen:
            return
        held, self.held = self.held, []
        for go_on in held:
            go_on()


class VirtualLoop(asyncio.SelectorEventLoop):
    """
    A loop whose clock stands still while anything can run, and jumps to the next timer then.

    Handles are never run while the machine of their context is frozen.
    """

    def __init__(self) -> None:
        super().__init__(_Idle(self))
        self._now = 0.0
        self._turns = 0

    def time(self) -> float:
        return self._now

    def turn(self) -> None:
        """Count the turns of the loop, so that a life that goes round in circles ends."""
        self._turns += 1
        self._now += _TICK  # else one that waits for less than the rounding of floats would wait for ever
        if self._turns > _PATIENCE:
            raise RuntimeError(f"the life goes round in circles at {self._now:.3f}")

    def jump(self) -> None:
        """Let time pass to the next timer."""
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]  # of asyncio's own
        if not scheduled:
            raise RuntimeError("nobody waits for anything")
        self._now = max(self._now, scheduled[0].when())

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        context = copy_context() if context is None else context
        machine = context.get(_process)
        if machine is None:
            return super().call_soon(callback, *args, context=context)
        guard = _Guard(self, machine, callback, args, context)
        guard.handle = super().call_soon(guard, context=context)
        return guard.handle

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        context = copy_context() if context is None else context
        machine = context.get(_process)
        if machine is None:
            return super().call_at(when, callback, *args, context=context)
        guard = _Guard(self, machine, callback, args, context)
        guard.handle = handle = super().call_at(when, guard, context=context)
        return handle

    def hold(self, guard: _Guard) -> None:
        """Keep a callback until its machine goes on."""

        def go_on() -> None:
            asyncio.SelectorEventLoop.call_soon(self, guard, context=guard.context)

        guard.machine.held.append(go_on)


@attrs.define(eq=False)
class _Guard:
    """A callback that is held while its machine is frozen. It may be cancelled meanwhile."""

    loop: VirtualLoop
    machine: Machine
    callback: Callable[..., object]
    args: tuple[Any, ...]
    context: Context
    handle: asyncio.Handle = attrs.field(init=False)

    def __call__(self) -> None:
        if self.machine.is_frozen:
            self.loop.hold(self)
        elif not self.handle.cancelled():
            self.callback(*self.args)


class _Idle(selectors.DefaultSelector):
    """A selector that waits for no socket: it lets time pass instead."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.turn()
        if timeout is None or timeout > 0:
            self._loop.jump()
        return []
