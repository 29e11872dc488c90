#!/usr/bin/env bash
# One address for all instances.
# Needs: pip install vllm-router
set -eu

PORT=${PORT:-8080}
WORKERS=${WORKERS:?'set WORKERS: the 3 instances as http://HOST:PORT, spaces between'}
# shellcheck disable=SC2086
exec vllm-router \
  --host 0.0.0.0 \
  --port "$PORT" \
  --policy round_robin \
  --worker-urls $WORKERS \
  "$@"
