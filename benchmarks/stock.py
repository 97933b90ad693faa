"""Baseline of the training benchmarks: GPT-2 in PyTorch's stock modules, with nanoGPT's recipe.

Model and hyperparameters are those of nanoGPT on a CPU (`config/train_shakespeare_char.py` and the
options in its README): `nn.Linear`, `nn.LayerNorm`, `nn.GELU`, `scaled_dot_product_attention`,
`torch.optim.AdamW`, gradient clipping, warmup and cosine decay. It has none of Anexa's
optimizations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from anexa.model.config import ModelConfig

LEARNING_RATE, MIN_LEARNING_RATE, WARMUP_STEPS = 1e-3, 1e-4, 100
BETAS, WEIGHT_DECAY, MAX_GRAD_NORM = (0.9, 0.99), 0.1, 1.0


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.proj = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Compute (B, T, C) from (B, T, C)."""
        B, T, C = x_BTC.shape
        q, k, v = (
            part.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
            for part in self.qkv(x_BTC).split(C, dim=2)
        )
        y_BHTD = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        y_BTC: Tensor = self.proj(y_BHTD.transpose(1, 2).contiguous().view(B, T, C))
        return y_BTC


class Block(nn.Module):
    """Pre-norm transformer block: attention, then an MLP."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.n_embd
        self.norm_1, self.attention = nn.LayerNorm(width), Attention(config)
        self.norm_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Compute (B, T, C) from (B, T, C)."""
        x_BTC = x_BTC + self.attention(self.norm_1(x_BTC))
        y_BTC: Tensor = x_BTC + self.mlp(self.norm_2(x_BTC))
        return y_BTC


class StockGPT(nn.Module):
    """GPT-2 with a tied head; `forward` returns the loss in nats per token."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocab_size, config.n_embd)
        self.positions = nn.Embedding(config.block_size, config.n_embd)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.norm = nn.LayerNorm(config.n_embd)
        self.head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.head.weight = self.tokens.weight
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                residual = name.endswith(("proj.weight", "mlp.2.weight"))
                std = 0.02 / math.sqrt(2 * config.n_layer) if residual else 0.02
                nn.init.normal_(parameter, std=std)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """Compute the mean loss."""
        x_BTC = self.tokens(inputs_BT) + self.positions(torch.arange(inputs_BT.shape[1]))
        for block in self.blocks:
            x_BTC = block(x_BTC)
        logits_BTV = self.head(self.norm(x_BTC))
        return F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten())


class StockTraining:
    """nanoGPT's training loop. Iterating over it executes the steps."""

    def __init__(self, config: ModelConfig, tokens: Tensor, batch_size: int, steps: int) -> None:
        self.model = StockGPT(config)
        self._tokens, self._batch_size, self._steps = tokens, batch_size, steps
        self._length = config.block_size
        decayed = [p for p in self.model.parameters() if p.dim() == 2]
        others = [p for p in self.model.parameters() if p.dim() != 2]
        self._optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": WEIGHT_DECAY},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=LEARNING_RATE,
            betas=BETAS,
        )

    def batch(self) -> tuple[Tensor, Tensor]:
        """Draw windows from random positions, and their targets."""
        starts = torch.randint(len(self._tokens) - self._length, (self._batch_size,))
        inputs = torch.stack([self._tokens[s : s + self._length] for s in starts])
        targets = torch.stack([self._tokens[s + 1 : s + 1 + self._length] for s in starts])
        return inputs, targets

    def __iter__(self) -> Iterator[float]:
        """Execute the steps, and yield the loss of each."""
        for step in range(self._steps):
            for group in self._optimizer.param_groups:
                group["lr"] = self._rate(step)
            loss = self.model(*self.batch())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRAD_NORM)
            self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
            yield loss.item()

    def _rate(self, step: int) -> float:
        """Compute the learning rate: linear warmup, then cosine decay."""
        if step < WARMUP_STEPS:
            return LEARNING_RATE * (step + 1) / (WARMUP_STEPS + 1)
        ratio = (step - WARMUP_STEPS) / max(1, self._steps - WARMUP_STEPS)
        cosine = 0.5 * (1 + math.cos(math.pi * ratio))
        return MIN_LEARNING_RATE + cosine * (LEARNING_RATE - MIN_LEARNING_RATE)
