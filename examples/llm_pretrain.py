"""Pretrains a dense language model, as Megatron does: tensor, sequence, pipeline and data parallel, the optimiser sharded.

windtunnel run --on h100-sxm:8 --clock virtual examples/llm_pretrain.py --model llama-3-8b --tp 2 --sequence 8192
windtunnel run --on ascend-910b2:16 examples/llm_pretrain.py --model yi-34b --tp 8 --pp 2 --micro_batches 8
torchrun --nproc-per-node 8 examples/llm_pretrain.py --model qwen2-1.5b
"""

import argparse
import os
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.distributed.device_mesh import init_device_mesh
from torch.utils.checkpoint import checkpoint

# shapes of tensors: S sequence, s the part of it that a rank keeps between layers, B micro-batch, H width, V vocabulary


@dataclass
class Sizes:
    layers: int
    width: int
    heads: int
    kv_heads: int
    inner: int
    vocabulary: int
    head_dim: int = 128
    gpt: bool = False  # LayerNorm, GELU, biases and learned positions; else RMSNorm, SwiGLU and rotary ones
    tied: bool = False  # the head is the embedding (where one stage has both)
    qkv_bias: bool = False
    window: int = 0  # tokens that one sees, where not all before it


MODELS = {  # from each model's published config.json; GPT-3 from its paper, 15 billion as Megatron scales it
    "aquila2-7b": Sizes(32, 4096, 32, 32, 11008, 100008),
    "baichuan-7b": Sizes(32, 4096, 32, 32, 11008, 64000),
    "chatglm3-6b": Sizes(28, 4096, 32, 2, 13696, 65024, qkv_bias=True),
    "gpt3-15b": Sizes(32, 6144, 48, 48, 24576, 50257, gpt=True, tied=True),
    "gpt3-175b": Sizes(96, 12288, 96, 96, 49152, 50257, gpt=True, tied=True),
    "llama-13b": Sizes(40, 5120, 40, 40, 13824, 32000),
    "llama-65b": Sizes(80, 8192, 64, 64, 22016, 32000),
    "llama-2-7b": Sizes(32, 4096, 32, 32, 11008, 32000),
    "llama-2-13b": Sizes(40, 5120, 40, 40, 13824, 32000),
    "llama-2-34b": Sizes(48, 8192, 64, 8, 22016, 32000),
    "llama-2-70b": Sizes(80, 8192, 64, 8, 28672, 32000),
    "llama-3-8b": Sizes(32, 4096, 32, 8, 14336, 128256),
    "llama-3-70b": Sizes(80, 8192, 64, 8, 28672, 128256),
    "mistral-7b": Sizes(32, 4096, 32, 8, 14336, 32000, window=4096),
    "qwen-72b": Sizes(80, 8192, 64, 64, 24576, 152064, qkv_bias=True),
    "qwen1.5-110b": Sizes(80, 8192, 64, 8, 49152, 152064, qkv_bias=True),
    "qwen2-1.5b": Sizes(28, 1536, 12, 2, 8960, 151936, tied=True, qkv_bias=True),
    "tiny": Sizes(4, 256, 8, 4, 512, 1024, head_dim=32),
    "yi-34b": Sizes(60, 7168, 56, 8, 20480, 64000),
}

parser = argparse.ArgumentParser()
parser.add_argument("--model", choices=sorted(MODELS), required=True)
parser.add_argument("--layers", type=int, help="instead of the model's own")
parser.add_argument("--sequence", type=int, default=4096)
parser.add_argument("--micro_batch", type=int, default=1, help="sequences that go through the model together")
parser.add_argument("--micro_batches", type=int, default=4, help="of one optimiser step and one replica")
parser.add_argument("--tp", type=int, default=1, help="tensor parallel ranks")
parser.add_argument("--pp", type=int, default=1, help="pipeline stages")
parser.add_argument("--last_first", action="store_true", help="the first ranks have the last stage, not the first one")
parser.add_argument(
    "--no_sequence_parallel", action="store_true", help="whole activations between layers, as Megatron's first paper"
)
parser.add_argument("--no_overlap", action="store_true", help="every collective is waited for at once")
parser.add_argument("--shards", choices=["optimizer", "none"], default="optimizer", help="what data parallel ranks split")
parser.add_argument("--recompute", action="store_true", help="keep a layer's input alone for the backward pass")
parser.add_argument("--fuse", action="store_true", help="norms, activations and rotary positions as one kernel each")
parser.add_argument("--dtype", choices=["bfloat16", "float16", "float32"], default="bfloat16")
parser.add_argument("--steps", type=int, default=3)
args = parser.parse_args()

accelerator = torch.accelerator.current_accelerator()
DEVICE, DTYPE, SIZES = accelerator.type if accelerator else "cpu", getattr(torch, args.dtype), MODELS[args.model]
if "WORLD_SIZE" not in os.environ:
    os.environ.update(RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT="29500")
if accelerator:
    torch.accelerator.set_device_index(int(os.environ["LOCAL_RANK"]))
dist.init_process_group()
DP = dist.get_world_size() // (args.tp * args.pp)
assert DP * args.tp * args.pp == dist.get_world_size(), "tp x pp must divide the number of ranks"
mesh = init_device_mesh(DEVICE, (args.pp, DP, args.tp), mesh_dim_names=("pp", "dp", "tp"))
TP, DATA = mesh["tp"].get_group(), mesh["dp"].get_group()
PIPE = mesh["pp"].get_group()
ROW = mesh.get_local_rank("pp")
STAGE = args.pp - 1 - ROW if args.last_first else ROW
FIRST, LAST = STAGE == 0, args.pp - 1 == STAGE
SPLIT = args.tp > 1 and not args.no_sequence_parallel  # between layers every rank keeps a part of the sequence


def fused(function: Any) -> Any:
    return torch.compile(function) if args.fuse else function


def gather(x: Tensor) -> tuple[Tensor, Any]:
    """[s, ...] -> [S, ...], and what to wait for."""
    whole = x.new_empty(x.shape[0] * args.tp, *x.shape[1:])
    return whole, dist.all_gather_into_tensor(whole, x.contiguous(), group=TP, async_op=True)


def scatter(x: Tensor) -> tuple[Tensor, Any]:
    """The sum over ranks, [S, ...] -> [s, ...], and what to wait for."""
    part = x.new_empty(x.shape[0] // args.tp, *x.shape[1:])
    return part, dist.reduce_scatter_tensor(part, x.contiguous(), group=TP, async_op=True)


def summed(x: Tensor) -> tuple[Tensor, Any]:
    """The sum over ranks in place, and what to wait for."""
    x = x.contiguous()
    return x, dist.all_reduce(x, group=TP, async_op=True)


class Column(Function):
    """x [s or S, B, H] times a rank's rows of the weight: every rank gets some of the columns, of all tokens."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.biased = bias is not None
        if SPLIT:
            x, work = gather(x)
            work.wait()
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (x, weight), grad = ctx.saved_tensors, grads[0]
        work = None
        if SPLIT:
            x, work = gather(x)  # only its part was kept
            if args.no_overlap:
                work.wait()
        grad_x = grad @ weight
        if work is not None:
            work.wait()
        if args.tp > 1:
            grad_x, work = scatter(grad_x) if SPLIT else summed(grad_x)
            if args.no_overlap:
                work.wait()
        rows = grad.flatten(0, 1)
        grad_weight = rows.t() @ x.flatten(0, 1)
        grad_bias = rows.sum(0) if ctx.biased else None
        if work is not None:
            work.wait()
        return grad_x, grad_weight, grad_bias


class Sum(Function):
    """The sum over tensor parallel ranks: [S, B, H] -> the rank's part of the sequence, or all of it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x, work = scatter(x) if SPLIT else summed(x)
        work.wait()
        return x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        if not SPLIT:
            return grads[0]
        whole, work = gather(grads[0])
        work.wait()
        return whole


class Linear(nn.Module):
    """A rank's part of a linear layer: some of its outputs, or (by rows) some of its inputs, with the sum over ranks."""

    def __init__(self, inputs: int, outputs: int, bias: bool = False, by_rows: bool = False) -> None:
        super().__init__()
        shape = (outputs, inputs // args.tp) if by_rows else (outputs // args.tp, inputs)
        self.weight = nn.Parameter(torch.empty(shape, device=DEVICE, dtype=DTYPE))
        self.bias = nn.Parameter(torch.zeros(outputs if by_rows else shape[0], device=DEVICE, dtype=DTYPE)) if bias else None
        self.by_rows = by_rows
        if self.bias is not None and by_rows:
            self.bias.of_split = True  # type: ignore[attr-defined]
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        if not self.by_rows:
            return Column.apply(x, self.weight, self.bias)
        y = F.linear(x, self.weight)
        y = Sum.apply(y) if args.tp > 1 else y
        return y if self.bias is None else y + self.bias


@fused
def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-5)).to(x.dtype) * weight


@fused
def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x [S, B, heads, head width] turned by each token's place."""
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-b, a), dim=-1) * sin


@fused
def swiglu(x: Tensor) -> Tensor:
    gate, up = x.chunk(2, dim=-1)
    return F.silu(gate) * up


class Norm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(SIZES.width, device=DEVICE, dtype=DTYPE))
        self.bias = nn.Parameter(torch.zeros_like(self.weight)) if SIZES.gpt else None
        for p in self.parameters():
            p.of_split = True  # type: ignore[attr-defined]

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weight, self.bias) if SIZES.gpt else rms_norm(x, self.weight)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        z = SIZES
        self.q_width, self.kv_width = z.heads * z.head_dim // args.tp, max(z.kv_heads // args.tp, 1) * z.head_dim
        self.norm_1, self.norm_2 = Norm(), Norm()
        self.qkv = Linear(z.width, (self.q_width + 2 * self.kv_width) * args.tp, bias=z.qkv_bias or z.gpt)
        self.out = Linear(z.heads * z.head_dim, z.width, bias=z.gpt, by_rows=True)
        self.up = Linear(z.width, z.inner if z.gpt else 2 * z.inner, bias=z.gpt)
        self.down = Linear(z.inner, z.width, bias=z.gpt, by_rows=True)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.out(self.attend(self.qkv(self.norm_1(x)), cos, sin))
        up = self.up(self.norm_2(x))
        return x + self.down(F.gelu(up, approximate="tanh") if SIZES.gpt else swiglu(up))

    def attend(self, qkv: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        S, B = qkv.shape[:2]
        q, k, v = (t.view(S, B, -1, SIZES.head_dim) for t in qkv.split([self.q_width, self.kv_width, self.kv_width], dim=-1))
        if not SIZES.gpt:
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        q, k, v = (t.permute(1, 2, 0, 3) for t in (q, k, v))  # [B, heads, S, head width]
        if SIZES.window and SIZES.window < S:
            y = windowed(q, k, v, SIZES.window)
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=q.shape[1] != k.shape[1])
        return y.permute(2, 0, 1, 3).reshape(S, B, -1)


def windowed(q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """Attention to the last ``window`` tokens: a block of queries to the keys of its own block and the ``window`` before."""
    size = window // 4
    places = torch.arange(size, device=q.device)[:, None] + window - torch.arange(window + size, device=q.device)
    seen = (places >= 0) & (places < window)
    parts = [
        F.scaled_dot_product_attention(q[:, :, :window], k[:, :, :window], v[:, :, :window], is_causal=True, enable_gqa=True)
    ]
    for start in range(window, q.shape[2], size):
        end = start + size
        keys, values = k[:, :, start - window : end], v[:, :, start - window : end]
        parts.append(F.scaled_dot_product_attention(q[:, :, start:end], keys, values, attn_mask=seen, enable_gqa=True))
    return torch.cat(parts, dim=2)


class VocabularyLoss(Function):
    """Cross entropy of logits [S, B, V / ranks] of which every rank has some columns."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        wide = logits.float()
        largest = wide.amax(dim=-1)
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=TP)
        wide -= largest[..., None]
        own = targets - mesh.get_local_rank("tp") * logits.shape[-1]
        outside = (own < 0) | (own >= logits.shape[-1])
        own = own.masked_fill(outside, 0)
        picked = wide.gather(-1, own[..., None]).squeeze(-1).masked_fill(outside, 0.0)
        dist.all_reduce(picked, group=TP)
        wide.exp_()
        total = wide.sum(dim=-1)
        dist.all_reduce(total, group=TP)
        wide /= total[..., None]
        ctx.save_for_backward(wide, own, outside)
        ctx.dtype = logits.dtype
        return (total.log() - picked).mean()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        shares, own, outside = ctx.saved_tensors
        shares.scatter_add_(-1, own[..., None], (outside.float() - 1.0)[..., None])
        shares *= grads[0] / own.numel()
        return shares.to(ctx.dtype), None


class Stage(nn.Module):
    """The layers of one pipeline stage; the first has the embedding, the last the head and the loss."""

    def __init__(self) -> None:
        super().__init__()
        z = SIZES
        rows = -(-z.vocabulary // (128 * args.tp)) * 128  # of a rank, filled up as Megatron does
        if FIRST:
            self.embedding = nn.Parameter(torch.empty(rows, z.width, device=DEVICE, dtype=DTYPE))
            nn.init.normal_(self.embedding, std=0.02)
            self.places = nn.Parameter(torch.zeros(args.sequence, z.width, device=DEVICE, dtype=DTYPE)) if z.gpt else None
            if self.places is not None:
                self.places.of_split = True  # type: ignore[attr-defined]
        self.blocks = nn.ModuleList(Block() for _ in range((args.layers or z.layers) // args.pp))
        if LAST:
            self.norm, self.head = Norm(), Linear(z.width, rows * args.tp)
            if z.tied and FIRST:
                self.head.weight = self.embedding
        turns = torch.outer(
            torch.arange(args.sequence, device=DEVICE, dtype=torch.float32),
            10000.0 ** (-torch.arange(0, z.head_dim, 2, device=DEVICE, dtype=torch.float32) / z.head_dim),
        )
        turns = torch.cat((turns, turns), dim=-1)[:, None, None, :]
        self.cos, self.sin = turns.cos().to(DTYPE), turns.sin().to(DTYPE)

    def embed(self, tokens: Tensor) -> Tensor:
        own = tokens - mesh.get_local_rank("tp") * self.embedding.shape[0]
        outside = (own < 0) | (own >= self.embedding.shape[0])
        x = F.embedding(own.masked_fill(outside, 0), self.embedding).masked_fill(outside[..., None], 0.0)
        x = Sum.apply(x) if args.tp > 1 else x
        if self.places is None:
            return x
        return x + (self.places.chunk(args.tp)[mesh.get_local_rank("tp")] if SPLIT else self.places)[:, None, :]

    def forward(self, x: Tensor, targets: Tensor) -> Tensor:
        x = self.embed(x) if FIRST else x
        for block in self.blocks:
            x = checkpoint(block, x, self.cos, self.sin, use_reentrant=False) if args.recompute else block(x, self.cos, self.sin)
        if not LAST:
            return x
        logits = self.head(self.norm(x))
        return (
            VocabularyLoss.apply(logits, targets)
            if args.tp > 1
            else F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        )


class Bucket:
    """Parameters that lie one after the other, with FP32 sums of their gradients, and the optimiser's part of both."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.parameters, self.waiting, self.work = parameters, 0, None
        count = sum(p.numel() for p in parameters)
        self.ranks = DP if args.shards == "optimizer" else 1
        padded = -(-count // self.ranks) * self.ranks
        self.values = torch.zeros(padded, device=DEVICE, dtype=DTYPE)
        self.grads = torch.zeros(padded, device=DEVICE, dtype=torch.float32)
        at = 0
        for p in parameters:
            n = p.numel()
            self.values[at : at + n].copy_(p.detach().flatten())
            p.data = self.values[at : at + n].view_as(p)
            p.sums = self.grads[at : at + n].view_as(p)  # type: ignore[attr-defined]
            p.register_post_accumulate_grad_hook(self.add)
            at += n
        self.split = {p for p in parameters if SPLIT and getattr(p, "of_split", False)}
        own = dist.get_rank(DATA) if self.ranks > 1 else 0
        size = padded // self.ranks
        self.own_values, self.own_grads = (t[own * size : (own + 1) * size] for t in (self.values, self.grads))
        self.master = nn.Parameter(self.own_values.float())

    def start_last(self) -> None:
        """The next backward pass is the step's last: what it completes can be summed over replicas."""
        self.waiting = len(self.parameters)

    def add(self, p: Any) -> None:
        p.sums.add_(p.grad)
        p.grad = None
        self.waiting -= 1
        if self.waiting >= 0 and p in self.split:
            dist.all_reduce(p.sums, group=TP)  # every rank has seen its part of the sequence alone
        if not self.waiting and not args.no_overlap:
            self.reduce()

    def reduce(self) -> None:
        """Start the sum over replicas; each rank keeps its part."""
        if DP > 1:
            self.work = (
                dist.reduce_scatter_tensor(self.own_grads, self.grads, group=DATA, async_op=True)
                if self.ranks > 1
                else dist.all_reduce(self.grads, group=DATA, async_op=True)
            )

    def spread(self) -> None:
        """What the optimiser wrote becomes the parameters of all replicas."""
        self.own_values.copy_(self.master.detach())
        if self.ranks > 1:
            dist.all_gather_into_tensor(self.values, self.own_values, group=DATA)
        self.grads.zero_()


def micro_batch() -> tuple[Tensor, Tensor]:
    text = torch.randint(SIZES.vocabulary, (args.sequence + 1, args.micro_batch), device=DEVICE)
    return text[:-1], text[1:]


def passed(like: Tensor | None, source: int, group: Any) -> Tensor | None:
    """What another stage sends; None where there is none."""
    if not 0 <= source < args.pp:
        return None
    rank = args.pp - 1 - source if args.last_first else source
    length = args.sequence // args.tp if SPLIT else args.sequence
    x = torch.empty(length, args.micro_batch, SIZES.width, device=DEVICE, dtype=DTYPE) if like is None else torch.empty_like(like)
    dist.recv(x, group_src=rank, group=group)
    return x


def pass_on(x: Tensor, to: int, group: Any) -> None:
    if 0 <= to < args.pp:
        sent.append((x, dist.isend(x, group_dst=args.pp - 1 - to if args.last_first else to, group=group)))


def forward() -> tuple[Tensor | None, Tensor]:
    tokens, targets = micro_batch()
    x = passed(None, STAGE - 1, FORWARDS)
    y = stage(tokens if x is None else x.requires_grad_(), targets)
    if not LAST:
        pass_on(y.detach(), STAGE + 1, FORWARDS)
    return x, y


def backward(x: Tensor | None, y: Tensor) -> None:
    if LAST:
        (y / args.micro_batches).backward()
    else:
        y.backward(passed(y, STAGE + 1, BACKWARDS))
    if x is not None and x.grad is not None:
        pass_on(x.grad, STAGE - 1, BACKWARDS)


def run_step() -> Tensor | None:
    """One optimiser step: micro-batches one forward, one backward in turn, the first few forwards ahead (1F1B)."""
    ahead: deque[tuple[Tensor | None, Tensor]] = deque()
    early, loss = min(args.pp - 1 - STAGE, args.micro_batches - 1), None
    for i in range(args.micro_batches + early):
        if i < args.micro_batches:
            ahead.append(forward())
        if i >= early:
            if i == args.micro_batches + early - 1:
                for bucket in buckets:
                    bucket.start_last()
            x, y = ahead.popleft()
            backward(x, y)
            loss = y.detach() if LAST else None
            del x, y
    for _, work in sent:
        work.wait()
    sent.clear()
    for bucket in buckets:
        if args.no_overlap:
            bucket.reduce()
        if bucket.work is not None:
            bucket.work.wait()
            bucket.work = None
    norm = torch.stack([b.own_grads.square().sum() for b in buckets]).sum()
    for group in (DATA, TP, PIPE) if args.shards == "optimizer" else (TP, PIPE):
        if dist.get_world_size(group) > 1:
            dist.all_reduce(norm, group=group)
    scale = (1.0 / (norm.sqrt() / DP + 1e-6)).clamp(max=1.0) / DP
    for bucket in buckets:
        bucket.own_grads.mul_(scale)
        bucket.master.grad = bucket.own_grads
    optimizer.step()
    for bucket in buckets:
        bucket.spread()
    return loss


torch.manual_seed(1337)
FORWARDS, BACKWARDS = PIPE, dist.new_group(dist.get_process_group_ranks(PIPE), use_local_synchronization=True)
sent: list[tuple[Tensor, Any]] = []
stage = Stage()
rest = list(dict.fromkeys(p for name, p in stage.named_parameters() if not name.startswith("blocks.")))
buckets = [Bucket(list(block.parameters())) for block in stage.blocks] + ([Bucket(rest)] if rest else [])
optimizer = torch.optim.AdamW([b.master for b in buckets], lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)

for step in range(args.steps):
    start = time.perf_counter()
    loss = run_step()
    if accelerator:
        torch.accelerator.synchronize()
    seconds = time.perf_counter() - start
    tokens = DP * args.micro_batches * args.micro_batch * args.sequence
    if dist.get_rank() == 0:
        told = f"loss {loss.item():.4f}, " if loss is not None else ""
        print(f"step {step}: {told}{tokens / seconds / dist.get_world_size():,.0f} tokens/s for each device", flush=True)
dist.destroy_process_group()
