"""The operations on PyTorch tensors; PyTorch's own autograd derives the gradients."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from anexa.engines.batch import IGNORE_INDEX, TokenPositions
from anexa.engines.kv_cache import AnyLayerCache, LayerDecodeCache


def positions_of(positions: TokenPositions | Tensor, n: int) -> Tensor:
    """Return the positions of n tokens, (T,), or for a tuple of B sequences, (B, T).

    A tensor is returned as it is: training passes one, since `torch.compile` would compile again
    for each tuple. Others are made on the CPU.
    """
    if isinstance(positions, Tensor):
        return positions
    if isinstance(positions, int):
        return torch.arange(n) + positions
    given = torch.tensor(positions)
    return given if given.ndim == 2 else torch.arange(n) + given[:, None]


def rotary_cos_sin(
    positions: TokenPositions | Tensor,
    n: int,
    frequencies: tuple[float, ...],
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """Compute cos and sin of the R rotary angles p_t f_i, each (T, 1, R).

    If `positions` differ between B sequences, the results have the shape (B, T, 1, R). The axis 1
    stands for the heads.
    """
    given = positions_of(positions, n)
    frequencies_R = torch.tensor(frequencies, dtype=torch.float64, device=given.device)
    angles_T1R = (given[..., None] * frequencies_R)[..., None, :]
    return angles_T1R.cos().to(device, dtype), angles_T1R.sin().to(device, dtype)


def windowed_mask(kv_cache: LayerDecodeCache, window: int | None) -> Tensor:
    """Build the additive attention mask of a decoding step, (B, 1, 1, S).

    It is −∞ for keys after the sequence's new token and for keys before the window, else 0.
    """
    mask_B11S: Tensor = kv_cache.attn_mask
    if window is None:
        return mask_B11S
    keys_S = torch.arange(mask_B11S.shape[-1], device=mask_B11S.device)
    before_BS = keys_S <= kv_cache.starts[:, None] - window
    return mask_B11S.masked_fill(before_BS[:, None, None], -torch.inf)


# All layers use the same angles, for queries and for keys.
_cached_cos_sin = lru_cache(maxsize=4)(torch.inference_mode(False)(rotary_cos_sin))


class TorchOperations:
    """The operations of an architecture (`anexa.model.operations.Operations`) on PyTorch tensors.

    Activations have the shape (B, T, C); the names of variables leave out the B.

    Attributes:
        dropout_rate: fraction of the activations that `dropout` sets to 0, and of the softmax's
            weights that `attention` does; 0 outside of training.
    """

    def __init__(self, dropout_rate: float = 0.0) -> None:
        self.dropout_rate = dropout_rate

    def embedding(self, table_VC: Tensor, tokens_T: Tensor) -> Tensor:
        """Look up the embedding of each token: y_t = E[token_t]."""
        return F.embedding(tokens_T, table_VC)

    def positions(
        self, x_TC: Tensor, table_SC: Tensor, positions: TokenPositions | Tensor
    ) -> Tensor:
        """Add the position embedding to each token: y_t = x_t + P[p_t]."""
        n = x_TC.shape[-2]
        if isinstance(positions, int):
            return x_TC + table_SC[positions : positions + n]
        # Unlike that of `table_SC[…]`, the gradient is added up in the same order every time.
        return x_TC + F.embedding(positions_of(positions, n).to(x_TC.device), table_SC)

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """Add two tensors of one shape: z = x + y."""
        return x + y

    def transpose(self, w: Tensor) -> Tensor:
        """Transpose a matrix: y = xᵀ."""
        return w.T

    def linear(self, x_TC: Tensor, weight_OC: Tensor, bias_O: Tensor | None = None) -> Tensor:
        """Apply a linear layer: y = x Wᵀ + b."""
        return F.linear(x_TC, weight_OC, bias_O)

    def split(self, x_TC: Tensor, parts: int, groups: int = 1) -> tuple[Tensor, ...]:
        """Split the columns into equal parts: x = [y⁰, y¹, …].

        With several groups of columns (heads), each group is split, and yⁱ consists of the i-th
        part of each group.
        """
        if groups == 1:
            return x_TC.chunk(parts, dim=-1)
        x_TGPD = x_TC.view(*x_TC.shape[:-1], groups, parts, -1)
        return tuple(part_TGD.flatten(-2) for part_TGD in x_TGPD.unbind(-2))

    def layer_norm(self, x_TC: Tensor, gain_C: Tensor, bias_C: Tensor, eps: float) -> Tensor:
        """Normalize each row to mean 0, variance 1: y = (x − mean(x)) / √(var(x) + ε) · γ + β."""
        return F.layer_norm(x_TC, gain_C.shape, gain_C, bias_C, eps)

    def rms_norm(self, x_TC: Tensor, gain_C: Tensor | None, eps: float) -> Tensor:
        """Divide each row by its root mean square: y = x / √(mean(x²) + ε) · γ.

        If rows are longer than the gain γ, each head of as many columns is normalized by itself.
        Without a gain, γ = 1.
        """
        if gain_C is not None and gain_C.shape != x_TC.shape[-1:]:
            x_TGC = x_TC.view(*x_TC.shape[:-1], -1, len(gain_C))
            return F.rms_norm(x_TGC, gain_C.shape, gain_C, eps).flatten(-2)
        return F.rms_norm(x_TC, x_TC.shape[-1:], gain_C, eps)

    def rotary(
        self,
        x_TC: Tensor,
        head_dim: int,
        positions: TokenPositions | Tensor,
        frequencies: tuple[float, ...],
    ) -> Tensor:
        """Rotate the pair of columns (i, i + R) of each head by the R angles p_t f_i.

        Columns of a head from 2R on are left as they are.
        """
        half = len(frequencies)
        cos_sin = rotary_cos_sin if torch.compiler.is_compiling() else _cached_cos_sin
        cos, sin = cos_sin(positions, x_TC.shape[-2], frequencies, x_TC.device, x_TC.dtype)
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
        """Compute causal attention in each head: y = softmax(c Q Kᵀ + mask) V.

        c is `scale`, by default 1 / √D. With a `window`, a token attends only to the last `window`
        keys, its own among them. If K and V have fewer heads than Q, several heads of Q share one.
        Dropout is applied to the softmax.
        """
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
        is_causal = False
        if mask_TS is None and n > 1:  # compiled for any T, the condition itself is no bool
            is_causal = True
        with torch.autocast(kind, enabled=torch.is_autocast_enabled(kind) and not on_cpu):
            y_HTD = F.scaled_dot_product_attention(
                q_HTD,
                k_HSD,
                v_HSD,
                attn_mask=mask_TS,
                dropout_p=self.dropout_rate,
                is_causal=is_causal,
                scale=scale,
                enable_gqa=k_TC.shape != q_TC.shape,
            )
        return y_HTD.transpose(1, 2).reshape(batch, n, width).to(dtype)

    def dropout(self, x: Tensor) -> Tensor:
        """Set each element to 0 with the probability p = `dropout_rate`, divide others by 1 − p."""
        return F.dropout(x, self.dropout_rate) if self.dropout_rate else x

    def gelu(self, x: Tensor) -> Tensor:
        """Apply the GELU in its tanh approximation, element by element.

        y = x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2.
        """
        return F.gelu(x, approximate="tanh")

    def gelu_erf(self, x: Tensor) -> Tensor:
        """Apply the exact GELU: y = x Φ(x), element by element."""
        return F.gelu(x)

    def relu(self, x: Tensor) -> Tensor:
        """Apply the ReLU: y = max(0, x), element by element."""
        return F.relu(x)

    def swiglu(self, gate: Tensor, up: Tensor) -> Tensor:
        """Apply SwiGLU to gate a and up projection b: y = a σ(a) b, element by element."""
        return F.silu(gate) * up

    def cross_entropy(
        self, logits_TV: Tensor, targets_T: Tensor, loss_denominator: float | Tensor
    ) -> Tensor:
        """Compute the cross-entropy loss of a batch, in nats, a scalar.

        L = Σ_t −log softmax(z)_t,target / N over the targets that are not `IGNORE_INDEX`, where the
        loss denominator N is a number, or one for each sequence, (B, 1).
        """
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
