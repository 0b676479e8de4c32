"""The alerts and the dashboard in docs/observability: Prometheus reads them, and they name metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from hpp_async.instrumentation import PrometheusObserver
from hpp_async.instrumentation._metrics import METRICS

FOLDER: Final = Path(__file__).parents[2] / "docs" / "observability"
DASHBOARD: Final = json.loads((FOLDER / "grafana.json").read_text("utf-8"))
QUERIES: Final = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
PROMTOOL: Final = shutil.which("promtool")

needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian package prometheus)")


def promtool(*arguments: str) -> None:
    done = subprocess.run([str(PROMTOOL), *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_prometheus_takes_the_alerts_and_they_fire_when_they_should() -> None:
    promtool("check", "rules", "alerts.yml")
    promtool("test", "rules", "alerts_test.yml")


@needs_promtool
def test_prometheus_can_parse_every_query_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(QUERIES)
    ]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}), "utf-8")  # JSON is YAML

    promtool("check", "rules", str(file))


@needs_promtool
def test_prometheus_takes_the_metrics(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    PrometheusObserver(registry)
    done = subprocess.run(
        [str(PROMTOOL), "check", "metrics"], input=generate_latest(registry), capture_output=True, check=False
    )

    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("text", [*QUERIES, (FOLDER / "alerts.yml").read_text("utf-8")])
def test_metrics_and_labels_exist(text: str) -> None:
    registry = CollectorRegistry()
    PrometheusObserver(registry)
    families = {family.name: family.type for family in registry.collect()}
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
    names = {name + suffix for name, kind in families.items() for suffix in suffixes[kind]}
    labels = {attribute.replace(".", "_") for metric in METRICS for attribute in metric.attributes}

    assert set(re.findall(r"hpp_(?:client|fleet)_\w+", text)) - names == set()
    assert set(re.findall(r"\b(?:hpp_(?!client|fleet|async)|http_|error_|server_)\w+", text)) - labels == set()


def test_every_metric_is_on_the_dashboard() -> None:
    names = r"hpp_(?:client|fleet)_\w+?(?=_seconds|_total|_bucket|_count|\b)"
    shown = {name for query in QUERIES for name in re.findall(names, query)}

    assert shown == {metric.name.replace(".", "_") for metric in METRICS}
