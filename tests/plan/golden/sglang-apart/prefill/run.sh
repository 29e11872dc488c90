#!/usr/bin/env bash
# Prefill of deepseek-ai/DeepSeek-R1 on Nvidia H100 SXM5 80GB: 16 devices (TP 8, DP 2, EP 16) on 2 servers.
# Planned for 4096 tokens in, 1024 out, 8 requests in flight.
# More flags of the engine may follow the script's name.
set -eu

MODEL=${MODEL:-deepseek-ai/DeepSeek-R1}
PORT=${PORT:-30000}
NODE_RANK=${NODE_RANK:?'set NODE_RANK: the number of this server, 0 to 1'}
HEAD_ADDR=${HEAD_ADDR:?'set HEAD_ADDR: the address of server 0, which all others reach'}
# a free port of server 0
RPC_PORT=${RPC_PORT:-13345}
# RDMA devices that carry the cache, such as mlx5_0,mlx5_1; empty lets the backend choose
IB_DEVICES=${IB_DEVICES:-''}

if [ -n "$IB_DEVICES" ]; then set -- --disaggregation-ib-device "$IB_DEVICES" "$@"; fi
exec python3 -m sglang.launch_server \
  --model-path "$MODEL" \
  --served-model-name deepseek-ai/DeepSeek-R1 \
  --host 0.0.0.0 \
  --port "$PORT" \
  --context-length 5376 \
  --max-running-requests 8 \
  --mem-fraction-static 0.85 \
  --chunked-prefill-size 16384 \
  --kv-cache-dtype fp8_e4m3 \
  --speculative-algorithm NEXTN \
  --speculative-num-steps 1 \
  --speculative-eagle-topk 1 \
  --speculative-num-draft-tokens 2 \
  --tp-size 16 \
  --attn-dp-size 2 \
  --ep-size 16 \
  --moe-a2a-backend deepep \
  --nnodes 2 \
  --node-rank "$NODE_RANK" \
  --dist-init-addr "$HEAD_ADDR:$RPC_PORT" \
  --disaggregation-mode prefill \
  --disaggregation-transfer-backend mooncake \
  --disaggregation-bootstrap-port "$((PORT - 21002))" \
  "$@"
