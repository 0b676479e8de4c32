"""Debian's Chromium, driven by Playwright: for the tests, and for the pictures in the documents."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import pytest
from playwright.sync_api import Browser, sync_playwright

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
# It is to talk to nobody but the simulator.
_FLAGS: Final = (
    "--no-sandbox",  # it has none for root, who runs CI
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def path_of_chromium() -> str:
    """Return where Chromium is, or skip the test: but in CI, which installs it, its absence is an error."""
    found = next(filter(None, (shutil.which(name) for name in _NAMES)), None)
    if found is None and os.environ.get("CI"):
        pytest.fail("chromium is not on PATH, and CI is set: see .ci/run")
    if found is None:
        pytest.skip("chromium is not on PATH")
    return found


@contextmanager
def running() -> Generator[Browser]:
    """Run it, headless, with an empty profile that is thrown away."""
    path = path_of_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    """Run Chromium for the tests of a module: Playwright runs once at a time."""
    with running() as browser:
        yield browser
