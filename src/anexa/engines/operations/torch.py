"""The operations on PyTorch tensors; PyTorch's own autograd derives the gradients."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from anexa.engines.protocol import IGNORE


class LayerCache:
    """The keys and values of one layer for every token read so far, in room set aside for all."""

    def __init__(self, room_BHSD: Tensor) -> None:
        self.length = 0
        self.keys_HSD, self.values_HSD = room_BHSD.clone(), room_BHSD.clone()

    def append(self, k_HTD: Tensor, v_HTD: Tensor) -> tuple[Tensor, Tensor]:
        """Take in those of T more tokens; gives all of them."""
        end = self.length + k_HTD.shape[-2]
        self.keys_HSD[:, :, self.length : end] = k_HTD
        self.values_HSD[:, :, self.length : end] = v_HTD
        self.length = end
        return self.keys_HSD[:, :, :end], self.values_HSD[:, :, :end]

    def keep(self, rows: list[int]) -> None:
        """Go on with some rows only."""
        self.keys_HSD, self.values_HSD = self.keys_HSD[rows], self.values_HSD[rows]


class TorchOperations:
    """See `anexa.model.operations.Operations`; activations are (B, T, C).

    Attributes:
        dropout_rate: the share of activations that `dropout` and `attention` set to 0.
    """

    def __init__(self, dropout_rate: float = 0.0) -> None:
        self.dropout_rate = dropout_rate

    def embedding(self, table_VC: Tensor, tokens_T: Tensor) -> Tensor:
        """y_t = E[token_t]."""
        return F.embedding(tokens_T, table_VC)

    def positions(self, x_TC: Tensor, table_SC: Tensor, start: int) -> Tensor:
        """y_t = x_t + P[start + t]."""
        return x_TC + table_SC[start : start + x_TC.shape[-2]]

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """z = x + y."""
        return x + y

    def transpose(self, w: Tensor) -> Tensor:
        """y = xᵀ."""
        return w.T

    def linear(self, x_TC: Tensor, weight_OC: Tensor, bias_O: Tensor | None = None) -> Tensor:
        """y = x Wᵀ + b."""
        return F.linear(x_TC, weight_OC, bias_O)

    def split(self, x_TC: Tensor, parts: int) -> tuple[Tensor, ...]:
        """y⁰, y¹, … = the columns of x in equal groups."""
        return x_TC.chunk(parts, dim=-1)

    def layer_norm(self, x_TC: Tensor, gain_C: Tensor, bias_C: Tensor, eps: float) -> Tensor:
        """y = (x − mean(x)) / √(var(x) + ε) · γ + β, row by row."""
        return F.layer_norm(x_TC, gain_C.shape, gain_C, bias_C, eps)

    def rms_norm(self, x_TC: Tensor, eps: float, gain_C: Tensor | None = None) -> Tensor:
        """y = x / √(mean(x²) + ε) · γ, row by row."""
        return F.rms_norm(x_TC, x_TC.shape[-1:], gain_C, eps)

    def rotary(self, x_TC: Tensor, head_dim: int, start: int, theta: float) -> Tensor:
        """Columns i and i + D/2 of each head, as a point, turned by (start + t) θ^(−2i/D)."""
        half = head_dim // 2
        device = x_TC.device
        frequencies = theta ** (-torch.arange(half, dtype=torch.float64) / half)
        positions_T = torch.arange(start, start + x_TC.shape[-2], dtype=torch.float64)
        angles_T1D = torch.outer(positions_T, frequencies)[:, None]
        cos = angles_T1D.cos().to(device, x_TC.dtype)
        sin = angles_T1D.sin().to(device, x_TC.dtype)
        low, high = x_TC.view(*x_TC.shape[:-1], -1, 2, half).unbind(-2)
        y_T2D = torch.stack((low * cos - high * sin, high * cos + low * sin), dim=-2)
        return y_T2D.flatten(-3)

    def attention(
        self, q_TC: Tensor, k_TC: Tensor, v_TC: Tensor, n_head: int, past: LayerCache | None
    ) -> Tensor:
        """y = softmax(Q Kᵀ / √D + mask) V, head by head."""
        batch, n, width = q_TC.shape
        q_HTD, k_HSD, v_HSD = (
            x.view(batch, n, -1, width // n_head).transpose(1, 2) for x in (q_TC, k_TC, v_TC)
        )
        if past is not None:
            k_HSD, v_HSD = past.append(k_HSD, v_HSD)
        total = k_HSD.shape[-2]
        # On a CPU the gradient of attention in bfloat16 takes five times as long as in float32.
        kind, dtype = q_TC.device.type, q_HTD.dtype
        on_cpu = kind == "cpu" and dtype == torch.bfloat16
        if on_cpu:
            q_HTD, k_HSD, v_HSD = q_HTD.float(), k_HSD.float(), v_HSD.float()
        mask_TS = None
        if total > n > 1:  # `is_causal` counts from the first key; these rows begin later
            ones = torch.ones(n, total, dtype=torch.bool, device=q_TC.device)
            mask_TS = ones.tril(diagonal=total - n)
        with torch.autocast(kind, enabled=torch.is_autocast_enabled(kind) and not on_cpu):
            y_HTD = F.scaled_dot_product_attention(
                q_HTD,
                k_HSD,
                v_HSD,
                attn_mask=mask_TS,
                dropout_p=self.dropout_rate,
                is_causal=total == n > 1,
                enable_gqa=k_TC.shape != q_TC.shape,
            )
        return y_HTD.transpose(1, 2).reshape(batch, n, width).to(dtype)

    def dropout(self, x: Tensor) -> Tensor:
        """y = x / (1−p), or 0 with the probability p."""
        return F.dropout(x, self.dropout_rate) if self.dropout_rate else x

    def gelu(self, x: Tensor) -> Tensor:
        """y = x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2."""
        return F.gelu(x, approximate="tanh")

    def relu(self, x: Tensor) -> Tensor:
        """y = max(0, x)."""
        return F.relu(x)

    def swiglu(self, gate: Tensor, up: Tensor) -> Tensor:
        """y = a σ(a) b."""
        return F.silu(gate) * up

    def cross_entropy(
        self, logits_BTV: Tensor, targets_BT: Tensor, divisor: float | Tensor
    ) -> Tensor:
        """L = Σ_t −log softmax(z)_t,target / divisor; of several rows, (B, 1), each by its own."""
        each = isinstance(divisor, Tensor)
        losses = F.cross_entropy(
            logits_BTV.flatten(0, -2),
            targets_BT.flatten(),
            ignore_index=IGNORE,
            reduction="none" if each else "sum",
        )
        return (losses.view(targets_BT.shape) / divisor).sum() if each else losses / divisor
