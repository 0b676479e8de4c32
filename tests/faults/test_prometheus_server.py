"""A real Prometheus scrapes the metrics of an outage, evaluates the alerts, and answers the dashboard's queries."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, make_server

import anyio
import httpx
import pytest
from fault_server import reserved_port
from prometheus_client import CollectorRegistry, make_wsgi_app

from hpp_async import OutageError
from hpp_async.instrumentation import PrometheusObserver
from hpp_async.testing import ScriptedProvider, VirtualClock

pytestmark = pytest.mark.anyio

FOLDER: Final = Path(__file__).parents[2] / "docs" / "observability"
CONFIGURATION: Final[dict[str, Any]] = {
    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
    "rule_files": [str(FOLDER / "alerts.yml")],
}


@pytest.fixture
def program() -> str:
    """Return where Prometheus is, or skip the test: but in CI, which installs it, its absence is an error."""
    found = shutil.which("prometheus")
    if found is None and os.environ.get("CI"):
        pytest.fail("prometheus is not on PATH, and CI is set: see .ci/run")
    if found is None:
        pytest.skip("prometheus is not on PATH (Debian package prometheus)")
    return found


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        pass


@contextmanager
def exposed(registry: CollectorRegistry) -> Generator[str]:
    """Serve the metrics of *registry*; yield the host and port."""
    with make_server("127.0.0.1", 0, make_wsgi_app(registry), handler_class=_Silent) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def get(http: httpx.AsyncClient, path: str, *, until: Callable[[Any], object] = bool, **query: str) -> Any:
    """Return what Prometheus answers; ask again until it is up and the answer is what *until* wants."""
    while True:
        try:
            answer = await http.get(path, params=query)
        except httpx.ConnectError:
            answer = None
        if answer is not None and answer.is_success and until(data := answer.json()["data"]):
            return data
        await anyio.sleep(0.1)


async def outage(registry: CollectorRegistry) -> None:
    provider = ScriptedProvider(VirtualClock())
    async with provider.client(observers=[PrometheusObserver(registry)], outage_tolerance=30) as client:
        await client.wait_for_outcome(provider.add([(5, "COMPLETED")]))
        provider.answer_next(*[503] * 100)
        with pytest.raises(OutageError):
            await client.wait_for_outcome(provider.add())


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_outage_fires_its_alert_and_every_query_is_answered(program: str, tmp_path: Path) -> None:
    registry = CollectorRegistry()
    PrometheusObserver(registry)
    dashboard = json.loads((FOLDER / "grafana.json").read_text("utf-8"))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    with exposed(registry) as shop, reserved_port() as port, anyio.fail_after(120):
        targets = [{"job_name": "shop", "static_configs": [{"targets": [shop]}]}]
        (tmp_path / "prometheus.yml").write_text(json.dumps(CONFIGURATION | {"scrape_configs": targets}), "utf-8")
        command = [program, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
        async with (
            await anyio.open_process(
                [*command, f"--web.listen-address=127.0.0.1:{port}"], stdin=None, stdout=None, stderr=None
            ) as process,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/api/v1/", trust_env=False) as http,
        ):
            try:
                # What a counter begins with is no increase: the outage has to come after the first scrape.
                await get(http, "query", query="hpp_client_outcomes_total", until=lambda data: data["result"])
                await outage(registry)
                alerts = (await get(http, "alerts", until=lambda data: data["alerts"]))["alerts"]
                answers = [await get(http, "query", query=query.replace("$__rate_interval", "1m")) for query in queries]
                rules = await get(http, "rules")
            finally:
                process.terminate()
                await process.wait()

    assert [(alert["labels"]["alertname"], alert["state"]) for alert in alerts] == [("HPPOutage", "firing")]
    assert {rule["health"] for group in rules["groups"] for rule in group["rules"]} == {"ok"}
    assert all(answer["resultType"] == "vector" for answer in answers)
