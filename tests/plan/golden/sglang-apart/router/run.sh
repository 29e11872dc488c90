#!/usr/bin/env bash
# One address for all instances.
# Needs: pip install sglang-router
set -eu

PORT=${PORT:-8080}
PREFILL=${PREFILL:?'set PREFILL: the prefill instances (3) as http://HOST:PORT, spaces between'}
DECODE=${DECODE:?'set DECODE: the decode instances (1) as http://HOST:PORT, spaces between'}
workers=()
for url in $PREFILL; do workers+=(--prefill "$url" "$((${url##*:} - 21002))"); done
for url in $DECODE; do workers+=(--decode "$url"); done
exec python3 -m sglang_router.launch_router \
  --host 0.0.0.0 \
  --port "$PORT" \
  --policy round_robin \
  --pd-disaggregation \
  "${workers[@]}" "$@"
