"""Writes docs/reference/metrics.md from the metrics that the code defines."""

from pathlib import Path

from longshore.telemetry.definitions import DEFINITIONS

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "metrics.md"
_HEAD = """\
# Metrics

Served in Prometheus' text format on the debug address, at `/metrics`, when the configuration says

```yaml
http:
  debug:
    addr: :5001
    prometheus:
      enabled: true
      path: /metrics
```

All worker processes are shown as one. Names that begin with `registry_` are those of
distribution, with the same labels and buckets; those that begin with `longshore_` are new.

| metric | type | labels | what it says |
|---|---|---|---|
"""
_TAIL = """
This page is made from the code: `python scripts/metrics_reference.py`.
"""


def render() -> str:
    """The page's text."""
    rows = (
        f"| `{entry.name}` | {entry.type} | {', '.join(entry.labels) or '-'} | {entry.help} |\n"
        for entry in DEFINITIONS
    )
    return _HEAD + "".join(rows) + _TAIL


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(render())
