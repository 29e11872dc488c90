#!/bin/sh
# The router over fleet.toml. WINDTUNNEL: what pip installs where the image has no windtunnel; a folder, a wheel or a URL.
set -eu
command -v windtunnel > /dev/null || pip install --quiet "${WINDTUNNEL:-windtunnel[serve]==0.1.0}"
exec windtunnel serve --fleet /deploy/fleet.toml --host 0.0.0.0 --port "${PORT:-8080}"
