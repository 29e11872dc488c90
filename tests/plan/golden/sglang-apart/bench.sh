#!/usr/bin/env bash
# The planned load: 4096 tokens in, 1024 out, 512 requests in flight. Compare with the table in README.md.
set -eu

BASE_URL=${BASE_URL:-http://127.0.0.1:8080}
# whose tokenizer makes the prompts
MODEL=${MODEL:-deepseek-ai/DeepSeek-R1}
CONCURRENCY=${CONCURRENCY:-512}
PROMPTS=${PROMPTS:-$((CONCURRENCY * 8))}

exec python3 -m sglang.bench_serving \
  --backend sglang-oai \
  --base-url "$BASE_URL" \
  --model "$MODEL" \
  --served-model-name deepseek-ai/DeepSeek-R1 \
  --dataset-name random-ids \
  --random-input-len 4096 \
  --random-output-len 1024 \
  --random-range-ratio 1 \
  --max-concurrency "$CONCURRENCY" \
  --num-prompts "$PROMPTS" \
  --warmup-requests "$CONCURRENCY" \
  "$@"
