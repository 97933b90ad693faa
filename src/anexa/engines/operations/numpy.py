"""The operations on NumPy arrays: whole batches at once.

L is the loss, g the derivative of L in an operation's output, dx that in its input x. Arrays have
any number of leading axes (here: B) before those that the suffix names.
"""

from __future__ import annotations

from functools import lru_cache
from math import pi, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from anexa.engines.kv_cache import LayerCache, StartPosition
from anexa.engines.protocol import IGNORE_INDEX
from anexa.engines.tape import Operation

Array = npt.NDArray[np.floating[Any]]
Tokens = npt.NDArray[np.int64]


def flatten_batch(x: Array) -> Array:
    """Merge the leading axes, (B, T, C) into (B·T, C): one large matrix product instead of B."""
    return x.reshape(-1, x.shape[-1])


@lru_cache
def column(n: int, value: float, dtype: np.dtype[Any]) -> Array:
    """Make a column of shape (n, 1) with the same number in all rows."""
    return np.full((n, 1), value, dtype)


def total(x: Array) -> Array:
    """Sum along the last axis, kept with length 1; trailing zeros do not change the rounding."""
    together: Array = x @ column(x.shape[-1], 1, x.dtype)
    return together


def mean(x: Array) -> Array:
    """Average along the last axis, kept with length 1."""
    average: Array = x @ column(x.shape[-1], 1 / x.shape[-1], x.dtype)
    return average


def causal_mask(n: int, num_cached: int, dtype: np.dtype[Any]) -> Array:
    """The additive mask of n new tokens after the cached tokens, (n, num_cached + n).

    Row t is 0 for the keys up to position num_cached + t, and −∞ for later keys.
    """
    return np.triu(np.full((n, num_cached + n), -np.inf, dtype), k=num_cached + 1)


def softmax(logits: Array) -> Array:
    """e^z / Σ e^z along the last axis, shifted by the largest z so that nothing overflows."""
    exps: Array = np.exp(logits - np.maximum.reduce(logits, -1, keepdims=True))
    exps /= total(exps)
    return exps


class Embedding(Operation[Array]):
    """y_t = E[token_t].   dE[i] = Σ g_t over the t whose token is i."""

    name = "embedding"

    def forward(self, table_VC: Array, /, tokens_T: Tokens) -> Array:
        self.tokens_T, self.n_vocab = tokens_T, len(table_VC)
        return np.take(table_VC, tokens_T, axis=0)

    def backward(self, g_TC: Array) -> tuple[Array]:
        d_table = np.zeros((self.n_vocab, g_TC.shape[-1]), g_TC.dtype)
        np.add.at(d_table, self.tokens_T.ravel(), flatten_batch(g_TC))
        return (d_table,)


def positions_of(start: StartPosition, n: int) -> Tokens:
    """The positions of n tokens, (T,), or (B, T) if `start` is a tuple."""
    return np.arange(n) + (start if isinstance(start, int) else np.array(start)[:, None])


class Positions(Operation[Array]):
    """y_t = x_t + P[start + t].   dx = g,  dP[start + t] = Σ_b g_t."""

    name = "positions"

    def forward(self, x_TC: Array, table_SC: Array, /, start: StartPosition) -> Array:
        self.start, self.table_shape = start, table_SC.shape
        return x_TC + table_SC[positions_of(start, x_TC.shape[-2])]

    def backward(self, g_TC: Array) -> tuple[Array, Array]:
        d_table = np.zeros(self.table_shape, g_TC.dtype)
        n = g_TC.shape[-2]
        assert isinstance(self.start, int)
        d_table[self.start : self.start + n] = g_TC.reshape(-1, n, g_TC.shape[-1]).sum(axis=0)
        return g_TC, d_table


class Add(Operation[Array]):
    """z = x + y.   dx = g,  dy = g."""

    name = "add"

    def forward(self, x: Array, y: Array, /) -> Array:
        z: Array = x + y
        return z

    def backward(self, g: Array) -> tuple[Array, Array]:
        return g, g


class Transpose(Operation[Array]):
    """y = xᵀ.   dx = gᵀ."""

    name = "transpose"

    def forward(self, w: Array, /) -> Array:
        return w.T

    def backward(self, g: Array) -> tuple[Array]:
        return (g.T,)


class Linear(Operation[Array]):
    """y = x Wᵀ + b.   dx = g W,  dW = gᵀ x,  db = Σ_t g_t."""

    name = "linear"

    def forward(self, x_TC: Array, weight_OC: Array, bias_O: Array | None = None, /) -> Array:
        self.x_TC, self.weight_OC, self.has_bias = x_TC, weight_OC, bias_O is not None
        y_TO: Array = (flatten_batch(x_TC) @ weight_OC.T).reshape(*x_TC.shape[:-1], len(weight_OC))
        if bias_O is not None:
            y_TO += bias_O
        return y_TO

    def backward(self, g_TO: Array) -> tuple[Array, ...]:
        d_weight_OC = flatten_batch(g_TO).T @ flatten_batch(self.x_TC)
        dx_TC = (flatten_batch(g_TO) @ self.weight_OC).reshape(self.x_TC.shape)
        return (
            (dx_TC, d_weight_OC, flatten_batch(g_TO).sum(axis=0))
            if self.has_bias
            else (dx_TC, d_weight_OC)
        )


class Split(Operation[Array]):
    """y⁰, y¹, … = the columns of x in equal groups.   dx = the groups' gradients side by side."""

    name = "split"

    def forward(self, x_TC: Array, /, parts: int) -> tuple[Array, ...]:
        return tuple(np.split(x_TC, parts, axis=-1))

    def backward(self, *grads: Array) -> tuple[Array]:
        return (np.concatenate(grads, axis=-1),)


class LayerNorm(Operation[Array]):
    """y = n γ + β with n = (x − mean(x)) / σ and σ = √(var(x) + ε), row by row (Ba et al., 2016).

    With d = g γ:  dx = (d − mean(d) − n mean(d n)) / σ,  dγ = Σ_t g n,  dβ = Σ_t g.
    """

    name = "layer_norm"

    def forward(self, x_TC: Array, gain_C: Array, bias_C: Array, /, eps: float) -> Array:
        self.gain_C = gain_C
        centered = x_TC - mean(x_TC)
        self.sigma_T1 = np.sqrt(mean(centered * centered) + eps)
        self.n_TC: Array = np.divide(centered, self.sigma_T1, out=centered)
        y_TC: Array = self.n_TC * gain_C
        return y_TC + bias_C

    def backward(self, g_TC: Array) -> tuple[Array, Array, Array]:
        gn_TC = g_TC * self.n_TC
        d_TC = g_TC * self.gain_C
        dx_TC = d_TC - mean(d_TC)
        dx_TC -= self.n_TC * mean(gn_TC * self.gain_C)
        dx_TC /= self.sigma_T1
        return dx_TC, flatten_batch(gn_TC).sum(axis=0), flatten_batch(g_TC).sum(axis=0)


class RMSNorm(Operation[Array]):
    """y = n γ with n = x / ρ and ρ = √(mean(x²) + ε), row by row (Zhang and Sennrich, 2019).

    With d = g γ:  dx = (d − n mean(d n)) / ρ,  dγ = Σ_t g n.   Without gains, γ = 1.
    """

    name = "rms_norm"

    def forward(self, x_TC: Array, gain_C: Array | None, /, eps: float) -> Array:
        self.gain_C = gain_C
        self.rho_T1: Array = np.sqrt(mean(x_TC * x_TC) + eps)
        n_TC: Array = x_TC / self.rho_T1
        self.n_TC = n_TC
        return n_TC if gain_C is None else n_TC * gain_C

    def backward(self, g_TC: Array) -> tuple[Array, ...]:
        d_TC = g_TC if self.gain_C is None else g_TC * self.gain_C
        dx_TC = d_TC - self.n_TC * mean(d_TC * self.n_TC)
        dx_TC /= self.rho_T1
        return (
            (dx_TC,)
            if self.gain_C is None
            else (dx_TC, flatten_batch(g_TC * self.n_TC).sum(axis=0))
        )


@lru_cache(maxsize=4)  # all layers use the same angles, for queries and for keys
def rotary_cos_sin(
    start: StartPosition, n: int, half: int, theta: float, dtype: np.dtype[Any]
) -> tuple[Array, Array]:
    """Compute cos α, (T, 1, 1, D/2), and (−sin α, sin α), (T, 1, 2, D/2).

    The angles of rotary positions are α = (start + t) θ^(−2i/D).
    """
    frequencies = theta ** (-np.arange(half) / half)
    angles_T1D = (positions_of(start, n)[..., None] * frequencies)[..., None, None, :]
    sines = np.sin(angles_T1D).astype(dtype)
    return np.cos(angles_T1D).astype(dtype), np.concatenate((-sines, sines), axis=-2)


class Rotary(Operation[Array]):
    """The pair of columns (i, i + D/2) of each head is rotated by α = (start + t) θ^(−2i/D).

    y_i = x_i cos α − x_(i+D/2) sin α,  y_(i+D/2) = x_(i+D/2) cos α + x_i sin α (Su et al., 2021).
    dx = g rotated by −α.
    """

    name = "rotary"

    def forward(self, x_TC: Array, /, head_dim: int, start: StartPosition, theta: float) -> Array:
        self.half = head_dim // 2
        self.cos, self.sines = rotary_cos_sin(start, x_TC.shape[-2], self.half, theta, x_TC.dtype)
        return self.rotate(x_TC, self.sines)

    def backward(self, g_TC: Array) -> tuple[Array]:
        return (self.rotate(g_TC, -self.sines),)

    def rotate(self, x_TC: Array, sines: Array) -> Array:
        """Rotate by angles given as (−sin α, sin α), the second result of `rotary_cos_sin`."""
        x_T2D = x_TC.reshape(*x_TC.shape[:-1], -1, 2, self.half)
        y_T2D = x_T2D * self.cos
        y_T2D += x_T2D[..., ::-1, :] * sines
        return y_T2D.reshape(x_TC.shape)


class Attention(Operation[Array]):
    """y = P V with P = softmax(Q Kᵀ / √D + mask), head by head (Vaswani et al., 2017).

    dV = Pᵀ g,  dP = g Vᵀ,  dS = P (dP − Σ_s P dP),  dQ = dS K / √D,  dK = dSᵀ Q / √D.

    Several query heads may share a head of keys and values, whose gradient is the sum over them.
    """

    name = "attention"

    def heads(self, x_TC: Array) -> Array:
        """Split the columns into heads: (…, T, C) to (…, H, T, D)."""
        *batch, n, _ = x_TC.shape
        x_THD: Array = x_TC.reshape(*batch, n, -1, self.head_dim)
        return x_THD.swapaxes(-2, -3)

    def columns(self, x_HTD: Array) -> Array:
        """Put the heads side by side: (…, H, T, D) to (…, T, C), the inverse of `heads`."""
        *batch, n_head, n, head_dim = x_HTD.shape
        x_TC: Array = x_HTD.swapaxes(-2, -3).reshape(*batch, n, n_head * head_dim)
        return x_TC

    def forward(
        self, q_TC: Array, k_TC: Array, v_TC: Array, /, n_head: int, kv_cache: LayerCache | None
    ) -> Array:
        self.head_dim = q_TC.shape[-1] // n_head
        q_HTD, k_HSD, v_HSD = self.heads(q_TC), self.heads(k_TC), self.heads(v_TC)
        if kv_cache is not None:
            k_HSD, v_HSD = kv_cache.append(k_HSD, v_HSD)
        self.group_size = q_HTD.shape[-3] // k_HSD.shape[-3]  # query heads per head of keys
        if self.group_size > 1:
            k_HSD, v_HSD = k_HSD.repeat(self.group_size, -3), v_HSD.repeat(self.group_size, -3)
        n, total = q_HTD.shape[-2], k_HSD.shape[-2]
        self.scale = 1 / sqrt(q_HTD.shape[-1])
        scores_HTS = (q_HTD * self.scale) @ k_HSD.swapaxes(-1, -2)
        if kv_cache is not None and kv_cache.attn_mask is not None:
            scores_HTS += kv_cache.attn_mask
        elif n > 1:  # a single token is the last token: there are no later keys to mask
            scores_HTS += causal_mask(n, total - n, scores_HTS.dtype)
        p_HTS = softmax(scores_HTS)
        self.saved = q_HTD, k_HSD, v_HSD, p_HTS
        return self.columns(p_HTS @ v_HSD)

    def backward(self, g_TC: Array) -> tuple[Array, Array, Array]:
        q_HTD, k_HSD, v_HSD, p_HTS = self.saved
        g_HTD = self.heads(g_TC)
        dv_HSD = p_HTS.swapaxes(-1, -2) @ g_HTD
        dp_HTS = g_HTD @ v_HSD.swapaxes(-1, -2)
        dp_HTS -= (p_HTS * dp_HTS).sum(axis=-1, keepdims=True)
        ds_HTS = np.multiply(dp_HTS, p_HTS, out=dp_HTS)
        ds_HTS *= self.scale
        dq_HTD, dk_HSD = ds_HTS @ k_HSD, ds_HTS.swapaxes(-1, -2) @ q_HTD
        dk_TC, dv_TC = (self.columns(self.sum_query_groups(x_HSD)) for x_HSD in (dk_HSD, dv_HSD))
        return self.columns(dq_HTD), dk_TC, dv_TC

    def sum_query_groups(self, x_HSD: Array) -> Array:
        """Sum the gradients of keys or values over the query heads that share a head."""
        if self.group_size == 1:
            return x_HSD
        *batch, n_head, n, head_dim = x_HSD.shape
        groups: Array = x_HSD.reshape(
            *batch, n_head // self.group_size, self.group_size, n, head_dim
        )
        total: Array = groups.sum(axis=-3)
        return total


class ReLU(Operation[Array]):
    """y = max(0, x), element by element.   dx = g where x > 0, else 0."""

    name = "relu"

    def forward(self, x_TC: Array, /) -> Array:
        self.positive = x_TC > 0
        return x_TC * self.positive

    def backward(self, g_TC: Array) -> tuple[Array]:
        return (g_TC * self.positive,)


class GELU(Operation[Array]):
    """y = x (1 + tanh u) / 2 with u = √(2/π) (x + 0.044715 x³) (Hendrycks and Gimpel, 2016).

    dx = g ((1 + tanh u) / 2 + x (1 − tanh² u) u' / 2) with u' = √(2/π) (1 + 3 · 0.044715 x²).
    """

    name = "gelu"

    def forward(self, x_TC: Array, /) -> Array:
        self.x_TC, self.xx_TC = x_TC, x_TC * x_TC
        u_TC = self.xx_TC * 0.044715
        u_TC += 1
        u_TC *= x_TC
        u_TC *= sqrt(2 / pi)
        self.t_TC = np.tanh(u_TC, out=u_TC)
        y_TC = self.t_TC + 1
        y_TC *= x_TC
        y_TC *= 0.5
        return y_TC

    def backward(self, g_TC: Array) -> tuple[Array]:
        du_TC = self.xx_TC * (3 * 0.044715)
        du_TC += 1
        du_TC *= sqrt(2 / pi)
        slope_TC = self.t_TC * self.t_TC
        np.subtract(1, slope_TC, out=slope_TC)
        slope_TC *= du_TC
        slope_TC *= self.x_TC
        slope_TC += self.t_TC
        slope_TC += 1
        slope_TC *= 0.5
        slope_TC *= g_TC
        return (slope_TC,)


class SwiGLU(Operation[Array]):
    """y = s(a) b with s(a) = a σ(a) and σ(a) = 1 / (1 + e^−a) (Shazeer, 2020).

    da = g b s'(a) with s'(a) = σ(a) (1 + a (1 − σ(a))),  db = g s(a).
    """

    name = "swiglu"

    def forward(self, gate_TC: Array, up_TC: Array, /) -> Array:
        self.gate_TC, self.up_TC = gate_TC, up_TC
        # (1 + tanh(a/2)) / 2 is σ(a), and does not overflow
        self.sigma_TC: Array = np.tanh(gate_TC * 0.5) * 0.5 + 0.5
        self.silu_TC: Array = gate_TC * self.sigma_TC
        y_TC: Array = self.silu_TC * up_TC
        return y_TC

    def backward(self, g_TC: Array) -> tuple[Array, Array]:
        slope_TC = self.sigma_TC + self.silu_TC * (1 - self.sigma_TC)
        return g_TC * self.up_TC * slope_TC, g_TC * self.silu_TC


class CrossEntropy(Operation[Array]):
    """L = Σ_t (log Σ_v e^(z_tv) − z_t,target) / N, with the loss denominator N.

    dz = (softmax(z) − onehot(target)) g / N.
    """

    name = "cross_entropy"

    def forward(
        self, logits_TV: Array, /, targets_T: Tokens, loss_denominator: float | Array
    ) -> Array:
        # From a number, or one per sequence, (B, 1), to one denominator per token.
        self.denominator_T = np.broadcast_to(loss_denominator, targets_T.shape).ravel()
        z_TV = flatten_batch(logits_TV)
        self.targets_T = targets_T = targets_T.ravel()
        self.shape, self.counted = logits_TV.shape, np.flatnonzero(targets_T != IGNORE_INDEX)
        z_TV = z_TV - z_TV.max(axis=-1, keepdims=True)
        exps_TV = np.exp(z_TV)
        totals_T1 = exps_TV.sum(axis=-1, keepdims=True)
        self.p_TV = np.divide(exps_TV, totals_T1, out=exps_TV)
        losses_T = np.log(totals_T1[self.counted, 0]) - z_TV[self.counted, targets_T[self.counted]]
        return np.asarray((losses_T / self.denominator_T[self.counted]).sum(), logits_TV.dtype)

    def backward(self, g: Array) -> tuple[Array]:
        counted = self.counted
        scale_T = g / self.denominator_T[counted]
        d_logits = np.zeros_like(self.p_TV)
        d_logits[counted] = self.p_TV[counted] * scale_T[:, None]
        d_logits[counted, self.targets_T[counted]] -= scale_T
        return (d_logits.reshape(self.shape),)
