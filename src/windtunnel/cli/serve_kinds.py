"""What is served, and the options that go with it: one that would change nothing is refused, and not passed over."""

from __future__ import annotations

import click

from windtunnel.cli.sections import given
from windtunnel.errors import InvalidInputError

REAL, SIMULATED = "A real model", "A simulated deployment"
SECTIONS = {
    REAL: (
        *("parallel", "context", "threads", "waiting", "quantize", "chat-template"),
        *("python", "devices", "engine-flags"),
    ),
    SIMULATED: (
        *("on", "prefill", "decode", "replicas", "prefill-replicas", "router", "speed", "isl", "osl", "text", "seed"),
        *("precision", "kv-precision", "tp", "pp", "dp", "ep", "moe-tp", "prefill-tp", "kv-link", "engine-version"),
        *("chunk-tokens", "max-running", "kv-tokens", "prefix-cache", "mtp-accept", "mtbf", "repair", "parameters"),
    ),
    "A deployment that plan wrote": ("deployment", "up", "down", "status"),
    "Who may ask": ("keys", "new-key", "tls-cert", "tls-key", "cors", "accounts"),
}
"""Of ``windtunnel serve``: heading -> options."""
CUT = ("tp", "pp", "dp", "ep")
"""Options of engines in processes too."""


def check_kind(context: click.Context, *, simulated: bool) -> None:
    """Raises InvalidInputError for an option that the other kind takes."""
    others = set(SECTIONS[REAL]) if simulated else {*SECTIONS[SIMULATED], "prefill-pp", "prefill-dp", "prefill-ep"} - {*CUT}
    for _, option in given(context):
        if option.removeprefix("--") in others:
            why = (
                "is for a real model, and --on simulates one;"
                if simulated
                else "is for a simulated deployment: add --on CHIP:N, or"
            )
            raise InvalidInputError(option, f"{why} leave it out")
