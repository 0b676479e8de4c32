"""A fleet runs on asyncio, and on uvloop."""

from __future__ import annotations

import sys

import pytest

_BACKENDS = {"asyncio": ("asyncio", {"use_uvloop": False})}
if sys.platform != "win32":
    _BACKENDS["uvloop"] = ("asyncio", {"use_uvloop": True})


@pytest.fixture(params=list(_BACKENDS.values()), ids=list(_BACKENDS))
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Run tests marked ``anyio`` on every event loop that a fleet runs on."""
    return request.param
