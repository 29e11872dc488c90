"""A tiny random Llama and its tokenizer, made on the spot: whatever it says is nonsense, and the same every time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEMPLATE = (
    "{%- if tools %}<|im_start|>system\n{{ tools | tojson }}\nCalls go between <tool_call> and </tool_call>.<|end|>\n{% endif %}"
    "{%- for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{%- for call in m.tool_calls or [] %}{{ call.function.arguments.city }}{% endfor %}<|end|>\n{% endfor %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tiny_tokenizer(template: str = TEMPLATE) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|im_start|>"]
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    raw.train_from_iterator(["hello world, the wind blows and the wind turns"], trainer)
    made: Any = PreTrainedTokenizerFast
    return made(tokenizer_object=raw, eos_token="<|end|>", chat_template=template or None)


def make_tiny(folder: Path, template: str = TEMPLATE, *, safe: bool = True) -> Path:
    """The model's folder. safe: its weights in safetensors, else pickled."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer(template)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        eos_token_id=0,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    if not safe:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    return folder
