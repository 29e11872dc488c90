"""What Prometheus reads of gauges that are kept nowhere."""

from __future__ import annotations

from windtunnel.serve.api.metrics import Metrics
from windtunnel.serve.fleet.metrics import FleetMetrics


def test_gauges_are_read_when_somebody_asks_with_labels_and_without() -> None:
    running = {"a": 1.0}
    one = Metrics(lambda: [("of:one", "Running", running["a"])])
    fleet = FleetMetrics(
        lambda: [("of:each", "Each", [({"backend": name}, value) for name, value in running.items()]), ("of:none", "None", [])]
    )
    running.update(a=2.0, b=3.0)
    assert "# HELP of:one Running\n# TYPE of:one gauge\nof:one 2.0\n" in one.page().decode()
    told = fleet.page().decode()
    assert '# TYPE of:each gauge\nof:each{backend="a"} 2.0\nof:each{backend="b"} 3.0\n' in told
    assert told.count("of:none") == 2  # its help and type, and no value
