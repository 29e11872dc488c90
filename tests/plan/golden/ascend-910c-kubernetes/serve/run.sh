#!/usr/bin/env bash
# Serves deepseek-ai/DeepSeek-R1 on Huawei Ascend 910C: 32 devices (TP 8, DP 4, EP 32) on 2 servers.
# Planned for 4096 tokens in, 1024 out, 512 requests in flight.
# More flags of the engine may follow the script's name.
set -eu

MODEL=${MODEL:?'set MODEL: the folder of a checkpoint quantised to int8 with ModelSlim'}
PORT=${PORT:-8000}
NODE_RANK=${NODE_RANK:?'set NODE_RANK: the number of this server, 0 to 1'}
HEAD_ADDR=${HEAD_ADDR:?'set HEAD_ADDR: the address of server 0, which all others reach'}
# a free port of server 0
RPC_PORT=${RPC_PORT:-13345}
LOCAL_ADDR=${LOCAL_ADDR:?'set LOCAL_ADDR: the address of this server on the network that carries the KV cache and the collectives'}
NIC=${NIC:?'set NIC: the network interface of LOCAL_ADDR, such as eth0'}

export HCCL_IF_IP="$LOCAL_ADDR"
export GLOO_SOCKET_IFNAME="$NIC"
export TP_SOCKET_IFNAME="$NIC"
export HCCL_SOCKET_IFNAME="$NIC"
# buffer of each communicator in MB: dispatch and combine of experts need more than all-reduce does
export HCCL_BUFFSIZE=${HCCL_BUFFSIZE:-1024}
export HCCL_OP_EXPANSION_MODE=AIV
export PYTORCH_NPU_ALLOC_CONF=expandable_segments:True
export TASK_QUEUE_ENABLE=1
export OMP_PROC_BIND=false
export OMP_NUM_THREADS=10
export ASCEND_RT_VISIBLE_DEVICES=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15

if [ "$NODE_RANK" -gt 0 ]; then set -- --headless --data-parallel-start-rank "$((NODE_RANK * 2))" "$@"; fi
exec vllm serve "$MODEL" \
  --served-model-name deepseek-ai/DeepSeek-R1 \
  --host 0.0.0.0 \
  --max-model-len 5376 \
  --max-num-seqs 128 \
  --max-num-batched-tokens 8192 \
  --gpu-memory-utilization 0.90 \
  --quantization ascend \
  --tensor-parallel-size 8 \
  --enable-expert-parallel \
  --port "$PORT" \
  --data-parallel-size 4 \
  --data-parallel-size-local 2 \
  --data-parallel-address "$HEAD_ADDR" \
  --data-parallel-rpc-port "$RPC_PORT" \
  "$@"
