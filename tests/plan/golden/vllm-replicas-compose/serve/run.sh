#!/usr/bin/env bash
# Serves meta-llama/Llama-3.1-70B-Instruct on Nvidia H20 96GB: 4 devices (TP 4).
# Planned for 4096 tokens in, 1024 out, 64 requests in flight.
# More flags of the engine may follow the script's name.
set -eu

MODEL=${MODEL:-meta-llama/Llama-3.1-70B-Instruct}
PORT=${PORT:-8000}
# 2 instances fit this server: 0, 4, ... each with a PORT of its own
FIRST_DEVICE=${FIRST_DEVICE:-0}
# the same as processes count it here: 0 in a container that was given its own devices alone
VISIBLE_FROM=${VISIBLE_FROM:-$FIRST_DEVICE}
devices=$(seq -s, "$VISIBLE_FROM" $((VISIBLE_FROM + 3)))
export CUDA_VISIBLE_DEVICES="$devices"

exec vllm serve "$MODEL" \
  --served-model-name meta-llama/Llama-3.1-70B-Instruct \
  --host 0.0.0.0 \
  --max-model-len 5376 \
  --max-num-seqs 64 \
  --max-num-batched-tokens 8192 \
  --gpu-memory-utilization 0.90 \
  --quantization fp8 \
  --kv-cache-dtype fp8 \
  --tensor-parallel-size 4 \
  --port "$PORT" \
  "$@"
