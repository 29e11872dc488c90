#!/usr/bin/env bash
# The planned load: 4096 tokens in, 1024 out, 192 requests in flight. Compare with the table in README.md.
set -eu

BASE_URL=${BASE_URL:-http://127.0.0.1:8080}
# whose tokenizer makes the prompts
MODEL=${MODEL:-meta-llama/Llama-3.1-70B-Instruct}
CONCURRENCY=${CONCURRENCY:-192}
PROMPTS=${PROMPTS:-$((CONCURRENCY * 8))}

exec vllm bench serve \
  --backend openai \
  --base-url "$BASE_URL" \
  --model "$MODEL" \
  --served-model-name meta-llama/Llama-3.1-70B-Instruct \
  --dataset-name random \
  --random-input-len 4096 \
  --random-output-len 1024 \
  --random-range-ratio 0 \
  --max-concurrency "$CONCURRENCY" \
  --num-prompts "$PROMPTS" \
  --num-warmups "$CONCURRENCY" \
  --ignore-eos \
  --percentile-metrics ttft,tpot,itl,e2el \
  "$@"
