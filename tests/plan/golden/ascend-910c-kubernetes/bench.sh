#!/usr/bin/env bash
# The planned load: 4096 tokens in, 1024 out, 512 requests in flight. Compare with the table in README.md.
set -eu

BASE_URL=${BASE_URL:-http://127.0.0.1:8000}
# whose tokenizer makes the prompts
MODEL=${MODEL:-deepseek-ai/DeepSeek-R1}
CONCURRENCY=${CONCURRENCY:-512}
PROMPTS=${PROMPTS:-$((CONCURRENCY * 8))}

exec vllm bench serve \
  --backend openai \
  --base-url "$BASE_URL" \
  --model "$MODEL" \
  --served-model-name deepseek-ai/DeepSeek-R1 \
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
