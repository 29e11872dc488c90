"""The page of an endpoint: who answers, how fast, what went wrong, and a box to try the model. It asks its own server alone."""

from __future__ import annotations

from windtunnel.web.file import page, page_file

SCRIPTS = ("frame.js", "labels.js", "stacked.js", "serve_live.js", "serve_plots.js", "serve_try.js")


def serve_page() -> str:
    """The HTML that an endpoint gives at ``/``; what it shows comes from ``/fleet/status`` and ``/v1``."""
    return page(
        title="windtunnel serve",
        body=page_file("serve.html"),
        styles=("report.css", "serve.css"),
        scripts=SCRIPTS,
        live=True,
    )
