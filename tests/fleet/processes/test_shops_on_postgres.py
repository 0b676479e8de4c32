"""The shops of examples/ with DATABASE_URL: two processes share the orders, and one of them is killed."""

from __future__ import annotations

import signal
from datetime import UTC, datetime

import httpx
import pytest
from postgres import Cluster, free_port
from support.shops import AUTH, SHOPS, running_shop

from hpp_async.simulator import serve
from hpp_async.testing import Consumer, Provider


@pytest.mark.parametrize("name", SHOPS)
def test_a_payment_is_shown_by_one_process_after_the_one_that_created_the_order_was_killed(
    name: str, database: Cluster
) -> None:
    provider = Provider(now=lambda: datetime.now(UTC), auth=AUTH, quota=None, consumer=Consumer.NOBODY)
    first_port, second_port = free_port(), free_port()
    callbacks_to = f"http://127.0.0.1:{second_port}"
    url = f"postgresql://fleet@127.0.0.1:{database.port}/postgres"
    with (
        serve(provider) as endpoint,
        running_shop(name, endpoint, first_port, url, url=callbacks_to) as first,
        running_shop(name, endpoint, second_port, url) as second,
        httpx.Client(timeout=60, trust_env=False) as browser,
    ):
        assert browser.post(f"{first.url}/orders").status_code == 303
        path = httpx.URL(provider.lives[-1].merchant_urls["success"]).path
        with browser.stream("GET", f"{second.url}{path}/events") as stream:
            lines = stream.iter_lines()
            assert any('"state": "open"' in line for line in lines)
            first.end(signal.SIGKILL)
            provider.change(provider.sessions[-1], "COMPLETED")
            rest = list(lines)

    assert '"state": "paid"' in "\n".join(rest)
