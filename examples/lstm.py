"""A language model of two LSTM layers, trained on random text.

windtunnel run --on a100-sxm-80gb examples/lstm.py
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--device", default="cuda")
parser.add_argument("--steps", type=int, default=5)
parser.add_argument("--batch_size", type=int, default=64)
parser.add_argument("--tokens", type=int, default=128)
parser.add_argument("--width", type=int, default=1024)
parser.add_argument("--vocabulary", type=int, default=10_000)
args = parser.parse_args()


class LanguageModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(args.vocabulary, args.width)
        self.lstm = nn.LSTM(args.width, args.width, num_layers=2, dropout=0.1, batch_first=True)
        self.head = nn.Linear(args.width, args.vocabulary)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        states, _ = self.lstm(self.embedding(tokens))
        return self.head(states)


torch.manual_seed(0)
model = LanguageModel().to(args.device)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for step in range(args.steps):
    text = torch.randint(args.vocabulary, (args.batch_size, args.tokens + 1)).to(args.device)
    loss = F.cross_entropy(model(text[:, :-1]).flatten(0, 1), text[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    print(f"step {step}: loss {loss.item():.6f}", flush=True)
