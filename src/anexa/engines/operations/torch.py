"""The operations on PyTorch tensors; PyTorch's own autograd derives the gradients."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from anexa.engines.kv_cache import AnyLayerCache, LayerDecodeCache, StartPosition
from anexa.engines.protocol import IGNORE_INDEX


def positions_of(start: StartPosition, n: int) -> Tensor:
    """The positions of n tokens, (T,), or (B, T) if `start` is a tuple; on the CPU."""
    positions_T = torch.arange(n)
    return positions_T + (start if isinstance(start, int) else torch.tensor(start)[:, None])


def rotary_cos_sin(
    start: StartPosition,
    n: int,
    frequencies: tuple[float, ...],
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """Compute cos and sin of the R rotary angles (start + t) f_i, each (T, 1, R)."""
    frequencies_R = torch.tensor(frequencies, dtype=torch.float64)
    angles_T1R = (positions_of(start, n)[..., None] * frequencies_R)[..., None, :]
    return angles_T1R.cos().to(device, dtype), angles_T1R.sin().to(device, dtype)


def windowed_mask(kv_cache: LayerDecodeCache, window: int | None) -> Tensor:
    """The additive mask of a decoding step, (B, 1, 1, S): −∞ for keys before the window, too."""
    mask_B11S: Tensor = kv_cache.attn_mask
    if window is None:
        return mask_B11S
    keys_S = torch.arange(mask_B11S.shape[-1], device=mask_B11S.device)
    before_BS = keys_S <= kv_cache.starts[:, None] - window
    return mask_B11S.masked_fill(before_BS[:, None, None], -torch.inf)


# All layers use the same angles, for queries and for keys.
_cached_cos_sin = lru_cache(maxsize=4)(torch.inference_mode(False)(rotary_cos_sin))


class TorchOperations:
    """Implements `anexa.model.operations.Operations` on tensors; activations are (B, T, C).

    Attributes:
        dropout_rate: fraction of activations that `dropout` and `attention` set to 0.
    """

    def __init__(self, dropout_rate: float = 0.0) -> None:
        self.dropout_rate = dropout_rate

    def embedding(self, table_VC: Tensor, tokens_T: Tensor) -> Tensor:
        """y_t = E[token_t]."""
        return F.embedding(tokens_T, table_VC)

    def positions(self, x_TC: Tensor, table_SC: Tensor, start: StartPosition) -> Tensor:
        """y_t = x_t + P[start + t]."""
        n = x_TC.shape[-2]
        if isinstance(start, int):
            return x_TC + table_SC[start : start + n]
        return x_TC + table_SC[positions_of(start, n).to(x_TC.device)]

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """z = x + y."""
        return x + y

    def transpose(self, w: Tensor) -> Tensor:
        """y = xᵀ."""
        return w.T

    def linear(self, x_TC: Tensor, weight_OC: Tensor, bias_O: Tensor | None = None) -> Tensor:
        """y = x Wᵀ + b."""
        return F.linear(x_TC, weight_OC, bias_O)

    def split(self, x_TC: Tensor, parts: int, groups: int = 1) -> tuple[Tensor, ...]:
        """y⁰, y¹, … = the columns of x in equal parts, or those of each group of columns."""
        if groups == 1:
            return x_TC.chunk(parts, dim=-1)
        x_TGPD = x_TC.view(*x_TC.shape[:-1], groups, parts, -1)
        return tuple(part_TGD.flatten(-2) for part_TGD in x_TGPD.unbind(-2))

    def layer_norm(self, x_TC: Tensor, gain_C: Tensor, bias_C: Tensor, eps: float) -> Tensor:
        """y = (x − mean(x)) / √(var(x) + ε) · γ + β, row by row."""
        return F.layer_norm(x_TC, gain_C.shape, gain_C, bias_C, eps)

    def rms_norm(self, x_TC: Tensor, gain_C: Tensor | None, eps: float) -> Tensor:
        """y = x / √(mean(x²) + ε) · γ, in each group of as many columns as γ has."""
        if gain_C is not None and gain_C.shape != x_TC.shape[-1:]:
            x_TGC = x_TC.view(*x_TC.shape[:-1], -1, len(gain_C))
            return F.rms_norm(x_TGC, gain_C.shape, gain_C, eps).flatten(-2)
        return F.rms_norm(x_TC, x_TC.shape[-1:], gain_C, eps)

    def rotary(
        self, x_TC: Tensor, head_dim: int, start: StartPosition, frequencies: tuple[float, ...]
    ) -> Tensor:
        """Rotate the pair of columns (i, i + R) of each head by the R angles (start + t) f_i."""
        half = len(frequencies)
        cos_sin = rotary_cos_sin if torch.compiler.is_compiling() else _cached_cos_sin
        cos, sin = cos_sin(start, x_TC.shape[-2], frequencies, x_TC.device, x_TC.dtype)
        x_THD = x_TC.view(*x_TC.shape[:-1], -1, head_dim)
        low, high, rest = torch.split(x_THD, [half, half, head_dim - 2 * half], dim=-1)
        y_THD = torch.cat((low * cos - high * sin, high * cos + low * sin, rest), dim=-1)
        return y_THD.flatten(-2)

    def attention(
        self,
        q_TC: Tensor,
        k_TC: Tensor,
        v_TC: Tensor,
        n_head: int,
        kv_cache: AnyLayerCache | None,
        scale: float | None = None,
        window: int | None = None,
    ) -> Tensor:
        """y = softmax(c Q Kᵀ + mask) V, head by head."""
        batch, n, width = q_TC.shape
        q_HTD, k_HSD, v_HSD = (
            x.view(batch, n, -1, width // n_head).transpose(1, 2) for x in (q_TC, k_TC, v_TC)
        )
        if kv_cache is not None:
            k_HSD, v_HSD = kv_cache.append(k_HSD, v_HSD)
        mask_TS = None
        if isinstance(kv_cache, LayerDecodeCache):
            mask_TS = windowed_mask(kv_cache, window)
        elif window is not None:  # all other keys are before the window of every query
            seen = min(window + n - 1, k_HSD.shape[-2])
            k_HSD, v_HSD = k_HSD[..., -seen:, :], v_HSD[..., -seen:, :]
        total = k_HSD.shape[-2]
        # On a CPU the gradient of attention in bfloat16 takes five times as long as in float32.
        kind, dtype = q_TC.device.type, q_HTD.dtype
        on_cpu = kind == "cpu" and dtype == torch.bfloat16
        if on_cpu:
            q_HTD, k_HSD, v_HSD = q_HTD.float(), k_HSD.float(), v_HSD.float()
        window = total if window is None else window
        if mask_TS is None and n > 1 and (total > n or total > window):
            # `is_causal` aligns query 0 with key 0, and has no window
            ones = torch.ones(n, total, dtype=torch.bool, device=q_TC.device)
            mask_TS = ones.tril(diagonal=total - n).triu(diagonal=total - n - window + 1)
        with torch.autocast(kind, enabled=torch.is_autocast_enabled(kind) and not on_cpu):
            y_HTD = F.scaled_dot_product_attention(
                q_HTD,
                k_HSD,
                v_HSD,
                attn_mask=mask_TS,
                dropout_p=self.dropout_rate,
                is_causal=mask_TS is None and n > 1,
                scale=scale,
                enable_gqa=k_TC.shape != q_TC.shape,
            )
        return y_HTD.transpose(1, 2).reshape(batch, n, width).to(dtype)

    def dropout(self, x: Tensor) -> Tensor:
        """y = x / (1−p), or 0 with the probability p."""
        return F.dropout(x, self.dropout_rate) if self.dropout_rate else x

    def gelu(self, x: Tensor) -> Tensor:
        """y = x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2."""
        return F.gelu(x, approximate="tanh")

    def gelu_erf(self, x: Tensor) -> Tensor:
        """y = x Φ(x)."""
        return F.gelu(x)

    def relu(self, x: Tensor) -> Tensor:
        """y = max(0, x)."""
        return F.relu(x)

    def swiglu(self, gate: Tensor, up: Tensor) -> Tensor:
        """y = a σ(a) b."""
        return F.silu(gate) * up

    def cross_entropy(
        self, logits_TV: Tensor, targets_T: Tensor, loss_denominator: float | Tensor
    ) -> Tensor:
        """L = Σ_t −log softmax(z)_t,target / N; N is a number, or (B, 1): one for each sequence."""
        per_sequence = isinstance(loss_denominator, Tensor)
        losses = F.cross_entropy(
            logits_TV.flatten(0, -2),
            targets_T.flatten(),
            ignore_index=IGNORE_INDEX,
            reduction="none" if per_sequence else "sum",
        )
        if per_sequence:
            return (losses.view(targets_T.shape) / loss_denominator).sum()
        return losses / loss_denominator
