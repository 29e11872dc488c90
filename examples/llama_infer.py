"""A Llama of 8 billion parameters answers a batch of prompts: prefill and decode timed apart, then generate().

pip install transformers
windtunnel run --on h20 --clock virtual examples/llama_infer.py
windtunnel run --on ascend-910b2 examples/llama_infer.py --device npu
"""

import argparse
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("--device", default="cuda")
parser.add_argument("--batch_size", type=int, default=8)
parser.add_argument("--prompt", type=int, default=1024, help="tokens of each prompt")
parser.add_argument("--new", type=int, default=8, help="tokens to generate")
parser.add_argument("--layers", type=int, default=32)
args = parser.parse_args()

config = LlamaConfig(
    hidden_size=4096,
    intermediate_size=14336,
    num_hidden_layers=args.layers,
    num_attention_heads=32,
    num_key_value_heads=8,
    vocab_size=128256,
    max_position_embeddings=131072,
)
model = LlamaForCausalLM(config).to(torch.bfloat16).to(args.device).eval()
print(f"{sum(p.numel() for p in model.parameters()) / 1e9:.2f} billion parameters")
prompts = torch.randint(config.vocab_size, (args.batch_size, args.prompt), device=args.device)


def now() -> float:
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter()


with torch.inference_mode():
    start = now()
    out = model(prompts, logits_to_keep=1)
    print(f"prefill of {prompts.numel():,} tokens: {1e3 * (now() - start):.1f} ms")

    start = now()
    for _ in range(args.new):
        token = out.logits[:, -1:].argmax(-1)
        out = model(token, past_key_values=out.past_key_values)
    print(f"decode: {1e3 * (now() - start) / args.new:.2f} ms a token")

    answers = model.generate(prompts, max_new_tokens=args.new, do_sample=False)
    print(f"generated {tuple(answers.shape)}")
