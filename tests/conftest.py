"""Fixtures of the whole suite: event loops, and a provider in virtual time."""

from __future__ import annotations

import sys

import pytest
from hypothesis import settings

from hpp_async.testing import ScriptedProvider, VirtualClock

# A deadline is a timing assertion, and a busy machine misses it.
settings.register_profile("hpp_async", deadline=None)
settings.load_profile("hpp_async")

_BACKENDS = {"asyncio": ("asyncio", {"use_uvloop": False}), "trio": ("trio", {})}
if sys.platform != "win32":
    _BACKENDS["uvloop"] = ("asyncio", {"use_uvloop": True})


@pytest.fixture(params=list(_BACKENDS.values()), ids=list(_BACKENDS))
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Run tests marked ``anyio`` on every event loop that users have."""
    return request.param


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def provider(clock: VirtualClock) -> ScriptedProvider:
    return ScriptedProvider(clock)
