"""Fixtures for the tests of the fleet that run on a store of either kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from postgres import own_store

from hpp_async.fleet import SQLiteStore, Store


@pytest.fixture
def anyio_backend() -> str:
    """Run every test on asyncio: on uvloop one hung once, with a database in threads and virtual time beside it."""
    return "asyncio"


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store[Any]]:
    """Return a function that opens one database, again and again."""
    if request.param == "sqlite":
        return lambda: SQLiteStore(tmp_path / "shop.db")
    return own_store(request.getfixturevalue("database"))


@pytest.fixture
def store(opened: Callable[[], Store[Any]]) -> Store[Any]:
    return opened()
