"""deploy/monitoring held against promtool, and against the metrics that services and Triton really export."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.process_collector import ProcessCollector

from pixelprobe_services.orchestrator.metrics import OrchestratorMetrics
from pixelprobe_services.segmentation.metrics import SegmentationMetrics
from pixelprobe_services.server.metrics import RpcMetrics, new_registry
from tests.prometheus import names_in, names_on, page

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
ALERT_TESTS = Path(__file__).with_name("alerts.test.yml")
DASHBOARD = MONITORING / "grafana" / "dashboards" / "pixelprobe.json"
OF_PROMETHEUS = {"up", "ALERTS"}


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Installed by tests/install-system-packages."""
    return subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def dashboard_queries() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def rules() -> dict[str, str]:
    """Each alert's expression, by its name; as promtool has found the file to be well formed."""
    text = (MONITORING / "alerts.yml").read_text()
    found = re.findall(r"- alert: (\w+)\n\s+expr: (?:\|\n)?(.*?)\n\s+(?:for|labels):", text, re.DOTALL)
    assert len(found) == text.count("- alert:")
    return dict(found)


def exported_by_services() -> set[str]:
    """The names of all series of both services' registries, whether they have a value yet or not."""
    names: set[str] = set()
    for service in ("orchestrator", "segmentation"):
        registry = new_registry(service)
        RpcMetrics(registry)
        (OrchestratorMetrics if service == "orchestrator" else SegmentationMetrics)(registry)
        names |= {name for name in registry._names_to_collectors if not name.endswith("_created")}
    process = CollectorRegistry()
    ProcessCollector(registry=process)
    return names | names_on(generate_latest(process).decode())


def test_prometheus_takes_the_configuration() -> None:
    done = promtool("check", "config", MONITORING / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_when_they_should_and_only_then() -> None:
    done = promtool("test", "rules", ALERT_TESTS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_that_does_not_fire_fails_the_test_of_it(tmp_path: Path) -> None:
    """What the test above rests on."""
    text = (MONITORING / "alerts.yml").read_text()
    (tmp_path / "alerts.yml").write_text(text.replace("up{job=~", "1 + up{job=~"))
    tests = ALERT_TESTS.read_text().replace("../../deploy/monitoring/alerts.yml", "alerts.yml")
    (tmp_path / "alerts.test.yml").write_text(tests)
    done = promtool("test", "rules", tmp_path / "alerts.test.yml")
    assert done.returncode != 0
    assert "ServiceDown" in done.stdout + done.stderr


def test_every_alert_is_seen_firing_and_silent() -> None:
    tests = ALERT_TESTS.read_text()
    for alert in rules():
        assert re.search(rf"^ +alertname: {alert}\n +exp_alerts:", tests, re.MULTILINE), alert
        assert f"alertname: {alert}}}" in tests, alert


def test_every_query_of_the_dashboard_is_well_formed(tmp_path: Path) -> None:
    queries = [re.sub(r"\$__rate_interval", "5m", query) for query in dashboard_queries()]
    file = tmp_path / "rules.yml"
    records = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": records}]}))  # JSON is YAML
    done = promtool("check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("up == 0", {"up"}),
        ('sum by (a, b) (rate(x_total{c="d", e!~"f.*"}[5m])) / on (g) count(y) > 1e6', {"x_total", "y"}),
        (
            "histogram_quantile(0.95, sum by (le) (rate(z_bucket[$__rate_interval]))) unless w",
            {"z_bucket", "w"},
        ),
        ("60 * rate(x[1h]) or vector(0)", {"x"}),
    ],
)
def test_how_names_are_found(query: str, names: set[str]) -> None:
    assert names_in(query) == names


def test_every_metric_asked_for_is_really_exported(local_triton: dict[str, str]) -> None:
    exported = exported_by_services() | names_on(page(local_triton["metrics"])) | OF_PROMETHEUS
    asked = {name for query in [*dashboard_queries(), *rules().values()] for name in names_in(query)}
    assert len(asked) > 30
    assert asked - exported == set()


def test_the_dashboard_is_whole() -> None:
    """Panels have ids of their own, a title and a source, and do not overlap."""
    identifiers = [panel["id"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    source = (MONITORING / "grafana" / "datasources" / "prometheus.yml").read_text()
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["title"]
        assert f"uid: {panel['datasource']['uid']}\n" in source
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
